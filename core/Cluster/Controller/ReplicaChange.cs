using System.Collections.Concurrent;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// How far partitions are that were told to have another number of replicas. Who leads them asks the servers for that, which copy what is
/// stored, and may refuse.
/// </summary>
internal static class ReplicaChange
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan CheckInterval = TimeSpan.FromMilliseconds(250);

    private const int AskedAtOnce = 64;

    /// <summary>Waits a few seconds for all partitions of a topic to have as many replicas as it says.</summary>
    /// <returns>How many have not, or cannot be asked.</returns>
    public static async Task<int> CountPendingAsync(ISpus spus, TopicInfo topic, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Patience);
        PartitionId[] pending = [.. topic.Partitions.Select(partition => new PartitionId(topic.Name, partition.Number))];
        try
        {
            while ((pending = await FindPendingAsync(spus, pending, topic.Settings.Replicas, limit.Token).ConfigureAwait(false)).Length > 0)
                await Task.Delay(CheckInterval, limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // Those that the last round has left.
        }

        return pending.Length;
    }

    private static async Task<PartitionId[]> FindPendingAsync(ISpus spus, PartitionId[] asked, int replicas, CancellationToken cancellationToken)
    {
        var pending = new ConcurrentBag<PartitionId>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AskedAtOnce, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(asked, options, async (partition, token) =>
        {
            if (!await spus.HasReplicasAsync(partition, replicas, token).ConfigureAwait(false))
                pending.Add(partition);
        }).ConfigureAwait(false);
        return [.. pending];
    }
}
