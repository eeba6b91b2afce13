namespace EdgeStream.Cluster.Engines;

/// <summary>What is stored of a partition, as it is seen without being its writer.</summary>
/// <param name="Settings">What is kept with it; see <see cref="Storage.Log.PartitionManifest.Settings"/>.</param>
/// <param name="End">The offset that its next record gets; one that is written meanwhile may not be counted.</param>
/// <param name="Bytes">What it holds.</param>
public sealed record StoredLog(IReadOnlyDictionary<string, string> Settings, long End, long Bytes);
