namespace EdgeStream.Client;

/// <summary>How a member of a consumer group reads.</summary>
public sealed record GroupOptions(string Group, string Topic)
{
    /// <summary>Where a group starts that is new to the topic: at its end instead of with the first records held.</summary>
    public bool FromEnd { get; init; }

    /// <summary>Ends when all that was durable when it got its partitions is read.</summary>
    public bool StopAtEnd { get; init; }

    /// <summary>Who it is, for lists of members.</summary>
    public string Member { get; init; } = $"{Environment.MachineName}/{Environment.ProcessId}";

    /// <summary>
    /// How often what was read is committed by itself; null where only <see cref="GroupConsumer.CommitAsync"/> does. A record counts as
    /// read when the next is asked for.
    /// </summary>
    public TimeSpan? CommitEvery { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>See <see cref="Consumer.GapSeen"/>.</summary>
    public Action<Protocol.V1.Gap>? GapSeen { get; init; }

    /// <summary>Told, in one line and on any thread, when the cluster cannot be reached; it is tried again until it can.</summary>
    public Action<string>? Interrupted { get; init; }
}
