using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Retention;

namespace EdgeStream.Cluster.Grpc;

/// <summary>A topic's settings as messages of the API.</summary>
public static class TopicSettingsMessages
{
    private static readonly TimeSpan MaxAge = TimeSpan.FromDays(36500);

    public static V1.TopicSettings ToMessage(TopicSettings settings) => new()
    {
        Mirror = settings.Mirror,
        Compression = settings.Compression.ToString().ToLowerInvariant(),
        RetentionBytes = settings.RetentionBytes ?? 0,
        RetentionAgeMs = (long)(settings.RetentionAge?.TotalMilliseconds ?? 0),
        Overflow = settings.Overflow == OverflowPolicy.Reject ? V1.Overflow.Reject : V1.Overflow.DropOldest,
        SyncIntervalMs = (long)settings.Sync.Interval.TotalMilliseconds,
        Replicas = settings.Replicas,
        Down = settings.IsDown,
        TimeToLiveMs = (long)(settings.TimeToLive?.TotalMilliseconds ?? 0),
    };

    /// <exception cref="ClusterException">A value makes no sense.</exception>
    public static TopicSettings FromMessage(V1.TopicSettings? message) => message is null ? new TopicSettings() : new TopicSettings(
        message.Mirror, Compression(message.Compression))
    {
        RetentionBytes = Bytes(message.RetentionBytes),
        RetentionAge = Age(message.RetentionAgeMs),
        Overflow = Overflow(message.Overflow),
        Sync = Sync(message.SyncIntervalMs),
        Replicas = message.Replicas,
        Down = message.Down ? DownTo.Everybody : DownTo.Nobody,
        TimeToLive = TimeToLive(message.TimeToLiveMs),
    };

    /// <summary>The settings with what the request names put in.</summary>
    /// <exception cref="ClusterException">A value makes no sense.</exception>
    public static TopicSettings Change(TopicSettings settings, V1.AlterTopicRequest request) => settings with
    {
        RetentionBytes = request.HasRetentionBytes ? Bytes(request.RetentionBytes) : settings.RetentionBytes,
        RetentionAge = request.HasRetentionAgeMs ? Age(request.RetentionAgeMs) : settings.RetentionAge,
        Overflow = request.HasOverflow ? Overflow(request.Overflow) : settings.Overflow,
        Sync = request.HasSyncIntervalMs ? Sync(request.SyncIntervalMs) : settings.Sync,
        Compression = request.HasCompression ? Compression(request.Compression) : settings.Compression,
        TimeToLive = request.HasTimeToLiveMs ? TimeToLive(request.TimeToLiveMs) : settings.TimeToLive,
        Replicas = request.HasReplicas ? request.Replicas : settings.Replicas,
    };

    private static CompressionCodec Compression(string name)
    {
        if (name.Length == 0)
            return CompressionCodec.None;

        return Enum.TryParse(name, ignoreCase: true, out CompressionCodec codec) && Enum.IsDefined(codec) && !char.IsDigit(name[0])
            ? codec
            : throw Invalid($"compression is none, gzip, snappy, lz4 or zstd, not '{name}'");
    }

    private static long? Bytes(long bytes) => bytes switch
    {
        0 => null,
        > 0 => bytes,
        _ => throw Invalid($"a topic cannot keep {bytes} bytes"),
    };

    private static TimeSpan? Age(long milliseconds) => milliseconds switch
    {
        0 => null,
        > 0 when milliseconds <= MaxAge.TotalMilliseconds => TimeSpan.FromMilliseconds(milliseconds),
        _ => throw Invalid($"a topic cannot keep records for {milliseconds} ms; choose 1m to 36500d"),
    };

    private static TimeSpan? TimeToLive(long milliseconds) => milliseconds switch
    {
        0 => null,
        > 0 when milliseconds <= MaxAge.TotalMilliseconds => TimeSpan.FromMilliseconds(milliseconds),
        _ => throw Invalid($"a record cannot count for {milliseconds} ms; choose 1ms to 36500d"),
    };

    private static OverflowPolicy Overflow(V1.Overflow overflow) => overflow switch
    {
        V1.Overflow.DropOldest => OverflowPolicy.DropOldest,
        V1.Overflow.Reject => OverflowPolicy.Reject,
        _ => throw Invalid($"overflow is drop-oldest or reject, not {(int)overflow}"),
    };

    private static SyncPolicy Sync(long milliseconds)
    {
        if (milliseconds == 0)
            return SyncPolicy.Commit;

        try
        {
            return SyncPolicy.Every(TimeSpan.FromMilliseconds(milliseconds));
        }
        catch (ArgumentOutOfRangeException)
        {
            throw Invalid($"the sync interval is 1ms to 1h, not {milliseconds} ms");
        }
    }

    private static ClusterException Invalid(string problem) => new(ErrorCode.InvalidArgument, problem);
}
