using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Downlink;

/// <summary>
/// An edge's copy of a topic that flows down, and which log of the hub it is a copy of: that log's incarnation, kept with the copy
/// before its first record. A copy is of one log only; where the hub has another, the copy is made anew.
/// </summary>
internal sealed class DownCopy
{
    private const string HubIncarnationSetting = "hub-incarnation";
    private const string HubSetting = "hub";

    private readonly Partition _partition;

    private DownCopy(Partition partition, string incarnation)
    {
        _partition = partition;
        Incarnation = incarnation;
    }

    /// <summary>That of the hub's log.</summary>
    public string Incarnation { get; }

    public PartitionLog Log => _partition.Segments;

    /// <summary>Opens the copy, or makes it, anew where it is one of another log.</summary>
    /// <param name="controller">Has the topics.</param>
    /// <param name="told">What the hub says of its own.</param>
    /// <param name="hub">Which hub says it: of several, one can have a topic of a name.</param>
    /// <param name="logger">Told where the copy is made anew.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="ClusterException">
    /// A topic of this edge, or of another hub, has the name; or the hub holds less than the copy.
    /// </exception>
    public static async Task<DownCopy> OpenAsync(
        StreamController controller, V1.DownTopic told, string hub, ILogger logger, CancellationToken cancellationToken)
    {
        if (!Guid.TryParseExact(told.Incarnation, "N", out _))
            throw new ClusterException(ErrorCode.InvalidArgument, $"'{told.Incarnation}' is no incarnation");

        TimeSpan? timeToLive = TimeToLiveOf(told);
        await controller.EnsureDownTopicAsync(told.Topic, timeToLive).ConfigureAwait(false);
        PartitionLog log = controller.GetPartition(told.Topic, 0).Segments;
        string? known = log.Manifest.Settings.GetValueOrDefault(HubIncarnationSetting);
        if (log.Manifest.Settings.GetValueOrDefault(HubSetting) is { } other && other != hub)
        {
            throw new ClusterException(
                ErrorCode.TopicExists,
                $"'{told.Topic}' flows down from another hub already; give one of the two another name, or 'edgestream topic delete {told.Topic}' "
                + "here where that hub was left");
        }

        if (known != told.Incarnation && log.Offsets.End > 0)
        {
            logger.LogWarning(
                "the hub's topic {Topic} is another one than before (made anew, or a new hub); the copy of the old one goes, and the new one "
                + "is copied from its beginning",
                told.Topic);
            await controller.DeleteTopicAsync(told.Topic).ConfigureAwait(false);
            await controller.EnsureDownTopicAsync(told.Topic, timeToLive).ConfigureAwait(false);
            log = controller.GetPartition(told.Topic, 0).Segments;
            known = null;
        }

        if (known != told.Incarnation)
            log.SaveSettings(new Dictionary<string, string?> { [HubIncarnationSetting] = told.Incarnation, [HubSetting] = hub });

        long end = log.Offsets.End;
        if (end > told.Durable)
        {
            throw new ClusterException(
                ErrorCode.OffsetConflict,
                $"'{told.Topic}' ends at {end} here but at {told.Durable} at the hub: the hub has lost records (an old backup?); delete the topic "
                + "there and make it anew");
        }

        // What is told to the hub must be durable, and it is asked to go on from the end.
        await log.WaitForDurableAsync(end, cancellationToken).ConfigureAwait(false);
        return new DownCopy(controller.GetPartition(told.Topic, 0), told.Incarnation);
    }

    /// <summary>Null for ever.</summary>
    public static TimeSpan? TimeToLiveOf(V1.DownTopic told) =>
        told.TimeToLiveMs > 0 ? TimeSpan.FromMilliseconds(told.TimeToLiveMs) : null;
}
