using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>What a topic's settings may be.</summary>
public static class TopicLimits
{
    /// <summary>
    /// The least that a topic can be told to keep, in bytes of each partition: room for the segment that is written, the largest
    /// batch, and something to drop.
    /// </summary>
    public const long MinRetentionBytes = 16 * 1024 * 1024;

    /// <summary>The most that NATS JetStream can have.</summary>
    public const int MaxReplicas = 5;

    public static readonly TimeSpan MinRetentionAge = TimeSpan.FromMinutes(1);

    public static readonly TimeSpan MinTimeToLive = TimeSpan.FromMilliseconds(1);

    /// <exception cref="ClusterException">The settings make no sense.</exception>
    public static void Check(TopicSettings settings)
    {
        if (settings.RetentionBytes is { } bytes && bytes < MinRetentionBytes)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument, $"a topic keeps at least {MinRetentionBytes} bytes (16MiB) a partition, not {bytes}");
        }

        if (settings.RetentionAge is { } age && age < MinRetentionAge)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a topic keeps records for at least 1m, not {age.TotalSeconds} s");

        if (settings.Replicas is < 1 or > MaxReplicas)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a topic has 1 to {MaxReplicas} replicas, not {settings.Replicas}");

        if (settings is { IsDown: true, Mirror: true })
            throw new ClusterException(ErrorCode.InvalidArgument, "a topic is mirrored up or flows down, not both; choose --mirror or --down");

        if (settings is { IsDown: false, TimeToLive: not null })
            throw new ClusterException(ErrorCode.InvalidArgument, "a time to live is for topics that flow down; add --down");

        if (settings.TimeToLive is { } life && life < MinTimeToLive)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a record counts for at least 1ms, not {life.TotalMilliseconds} ms");
    }

    /// <summary>A smaller bound must not drop at once what is stored: that would be a slip of the finger.</summary>
    /// <param name="partition">Which.</param>
    /// <param name="size">What it holds, in bytes.</param>
    /// <param name="bound">What it may hold now; null for any.</param>
    /// <param name="settings">What is to be.</param>
    /// <exception cref="ClusterException">The partition holds more than the settings allow.</exception>
    public static void CheckHolds(PartitionId partition, long size, long? bound, TopicSettings settings)
    {
        if (settings.RetentionBytes is { } bytes && size > bytes && !(bound <= bytes))
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                $"{partition} holds {size} bytes, which is more than {bytes}; choose a larger bound, or let --retention-age drop old records first");
        }
    }
}
