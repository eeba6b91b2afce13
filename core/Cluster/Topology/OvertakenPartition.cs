namespace EdgeStream.Cluster.Topology;

/// <summary>
/// A partition that an SPU was told to lead and cannot open, because somebody has led it with a later epoch. Either the SPU was told late, or
/// the topology is older than what is stored of the partition, as after a restore.
/// </summary>
/// <param name="Partition">Which.</param>
/// <param name="Told">The leader epoch with which the SPU was told to lead it.</param>
/// <param name="Found">The one that was found.</param>
public sealed record OvertakenPartition(PartitionId Partition, long Told, long Found)
{
    /// <summary>As many as an SPU tells its SC at once.</summary>
    public const int MostAtOnce = 1000;
}
