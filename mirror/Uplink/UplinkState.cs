namespace EdgeStream.Mirror.Uplink;

/// <summary>What an uplink does at one instant, for people and for metrics.</summary>
/// <param name="Connected">The hub has welcomed this edge on a stream that is open.</param>
/// <param name="LastError">Why the last stream ended or a topic was refused; null where nothing ever went wrong.</param>
/// <param name="SentBytes">Bytes of batches sent since the start, those sent twice counted twice.</param>
/// <param name="SentPieceBytes">What they had become when they were compressed.</param>
/// <param name="Reconnects">Streams that were welcomed after the first.</param>
public readonly record struct UplinkState(bool Connected, string? LastError, long SentBytes, long SentPieceBytes, long Reconnects)
{
    /// <summary>What went over the wire since the start, in bytes, all included but the headers of TCP and IP.</summary>
    public long WireSentBytes { get; init; }

    public long WireReceivedBytes { get; init; }

    /// <summary>How fast the link has taken compressed bytes of late, in bytes a second; 0 where it is not known.</summary>
    public double LinkBytesPerSecond { get; init; }

    /// <summary>The shortest round trip to the hub, its disk included; null where it is not known.</summary>
    public TimeSpan? RoundTrip { get; init; }

    /// <summary>Why data waits although there is a link, in one line; null where it does not.</summary>
    public string? Waiting { get; init; }

    /// <summary>At the present rate, how many bytes of batches a second are mirrored; 0 where it is not known.</summary>
    public double BatchBytesPerSecond => SentPieceBytes > 0 ? LinkBytesPerSecond * SentBytes / SentPieceBytes : 0;
}
