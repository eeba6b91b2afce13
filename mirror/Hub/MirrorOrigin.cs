using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
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

    /// <summary>Checks that a partition was filled from this log, or from none yet; changes nothing.</summary>
    /// <exception cref="ClusterException">It was filled from another.</exception>
    public static void Check(Partition partition, string incarnation)
    {
        CheckForm(incarnation);
        if (Known(partition) is { } known && known != incarnation)
        {
            throw new ClusterException(
                ErrorCode.IncarnationMismatch,
                $"{partition.Id} was filled from another log of '{partition.Info.GeoLocation}' (a replaced or new card?); "
                + "nothing was changed; join under a new geo-location name");
        }
    }

    /// <summary>As <see cref="Check"/>; a partition that was filled from none yet is this log's from now on, durably.</summary>
    public static void CheckOrAdopt(Partition partition, string incarnation)
    {
        Check(partition, incarnation);
        if (Known(partition) is null)
            partition.Log.SaveSetting(EdgeIncarnationSetting, incarnation);
    }

    private static string? Known(Partition partition) =>
        partition.Log.Manifest.Settings.GetValueOrDefault(EdgeIncarnationSetting);
}
