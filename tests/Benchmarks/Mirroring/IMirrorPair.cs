namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// An edge that stores what it is given, and a hub that copies it over TLS on loopback; each a process of its own. Disposing it
/// ends both and removes their data.
/// </summary>
internal interface IMirrorPair : IDisposable
{
    /// <summary>Where devices publish by MQTT; 0 where the edge was started without.</summary>
    int MqttPort { get; }

    /// <summary>Has the edge store readings, many at once; complete when it has confirmed all of them.</summary>
    Task FillAsync(IEnumerable<Reading> readings);

    /// <summary>From now on the hub copies what the edge holds and the hub does not, and what the edge will hold.</summary>
    Task ConnectAsync();

    /// <summary>The link is gone; what the hub has, stays there, and the edge goes on storing.</summary>
    Task DisconnectAsync();

    /// <summary>How many readings the hub confirms to have. For EdgeStream that means synced to its disk, for NATS stored.</summary>
    Task<long> CopiedAsync();

    /// <summary>Gives the edge one reading, and does not wait for it to be stored.</summary>
    Task PublishAsync(Reading reading);

    /// <summary>Calls back for each reading that comes to the hub from now on, in order, once it listens.</summary>
    Task ListenAtHubAsync(Action arrived);

    /// <summary>What the edge's process has used so far, and the hub's.</summary>
    (ProcessUsage Edge, ProcessUsage Hub) Usage();

    /// <summary>What has gone over the link since it was made, or made anew.</summary>
    LinkTraffic Traffic();
}
