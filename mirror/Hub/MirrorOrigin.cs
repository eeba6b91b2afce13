using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Which log of an edge a partition is filled from: its incarnation, kept with the partition before its first record, so there
/// is never a record of which the origin is unknown.
/// </summary>
internal static class MirrorOrigin
{
    private const string EdgeIncarnationSetting = "edge-incarnation";

    /// <exception cref="ClusterException">It is no incarnation.</exception>
    public static void CheckForm(string incarnation)
    {
        if (!Guid.TryParseExact(incarnation, "N", out _))
            throw new ClusterException(ErrorCode.InvalidArgument, $"'{incarnation}' is no incarnation");
    }

    /// <summary>Checks that a partition was filled from this log last, or from none yet; changes nothing.</summary>
    /// <exception cref="ClusterException">It was filled from another.</exception>
    public static void Check(Partition partition, string incarnation)
    {
        CheckForm(incarnation);
        if (Known(partition) is { } known && known != incarnation)
        {
            throw new ClusterException(
                ErrorCode.IncarnationMismatch,
                $"{partition.Id} was filled from another log of '{partition.Info.GeoLocation}' (a new card, or the topic was deleted and made again); "
                + "nothing was changed; 'edgestream join HUB --token TOKEN --replace' on the edge goes on behind what is here");
        }
    }

    /// <summary>
    /// As <see cref="Check"/>, where a log that begins where the partition ends, or later, may continue it: nothing is written
    /// over, and what lies in between becomes a gap. The partition is this log's from now on, durably.
    /// </summary>
    public static async ValueTask CheckOrAdoptAsync(Partition partition, string incarnation, long firstOffset)
    {
        CheckForm(incarnation);
        if (Known(partition) == incarnation)
            return;

        if (firstOffset == 0 || firstOffset < partition.Log.Offsets.End)
            Check(partition, incarnation);

        await partition.Log.SaveSettingsAsync(new Dictionary<string, string?> { [EdgeIncarnationSetting] = incarnation }).ConfigureAwait(false);
    }

    /// <summary>The log that a partition was filled from last; null where from none yet.</summary>
    public static string? Known(Partition partition) =>
        partition.Log.Manifest.Settings.GetValueOrDefault(EdgeIncarnationSetting);

    /// <summary>A partition of a geo-location that holds records from another log than these; null where there is none.</summary>
    /// <exception cref="EdgeStreamException">It cannot be told now.</exception>
    public static async Task<PartitionId?> FindOtherAsync(StreamController controller, string geoLocation, IReadOnlyCollection<string> incarnations)
    {
        foreach (TopicInfo topic in controller.Current.Topics.Values.Where(topic => topic.Settings.Mirror))
        {
            if (topic.PartitionOf(geoLocation) is not { } known)
                continue;

            var id = new PartitionId(topic.Name, known.Number);
            if (await controller.FindStoredAsync(id).ConfigureAwait(false) is { End: > 0 } stored
                && stored.Settings.GetValueOrDefault(EdgeIncarnationSetting) is { } incarnation
                && !incarnations.Contains(incarnation))
            {
                return id;
            }
        }

        return null;
    }
}
