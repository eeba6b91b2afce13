using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Grpc;

/// <summary>Where the records of partitions are, as messages of the API.</summary>
internal static class ReplicaMessages
{
    private const int AskedAtOnce = 64;

    // For all of them: a list that lacks this is better than one that does not come.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Puts them into the statuses of partitions of this SPU, whoever answers in time.</summary>
    public static async Task AddAsync(LocalSpu spu, IEnumerable<V1.PartitionStatus> statuses, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(Patience);
        using var places = new SemaphoreSlim(AskedAtOnce);
        await Task.WhenAll(statuses.Select(AddOneAsync)).ConfigureAwait(false);

        async Task AddOneAsync(V1.PartitionStatus status)
        {
            if (spu.Find(new(status.Partition.Topic, status.Partition.Partition_)) is not { IsOpen: true } partition)
                return;

            await places.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                if (!limit.IsCancellationRequested)
                    status.Replicas.AddRange((await partition.Log.FindReplicasAsync(limit.Token).ConfigureAwait(false)).Select(ToMessage));
            }
            finally
            {
                places.Release();
            }
        }
    }

    private static V1.ReplicaStatus ToMessage(ReplicaState replica) => new()
    {
        Server = replica.Server,
        Leader = replica.IsLeader,
        Current = replica.IsCurrent,
        Lag = replica.Lag,
        ActiveMs = (long)replica.Active.TotalMilliseconds,
    };
}
