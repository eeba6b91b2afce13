using System.Buffers.Binary;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// Who was told last to lead a partition, in the bucket: the leader epoch, i64, and the SPU, i32, big-endian. Nothing stands for epoch 0,
/// which is all that there is where one process is SC and SPU. For one caller at a time.
/// </summary>
/// <remarks>
/// It keeps an SPU that the SC has given up from taking a partition back from its successor: a stream's expected sequence cannot tell
/// which of two writers should be there.
/// </remarks>
internal sealed class LeaderEntry(StateBucket bucket, Guid incarnation, PartitionId id, PartitionInfo info)
{
    private const int Size = sizeof(long) + sizeof(int);

    private readonly StateEntry _entry = new(bucket, KeyOf(incarnation));
    private long _epoch;

    public static string KeyOf(Guid incarnation) => $"{incarnation:N}.leader";

    /// <summary>Makes sure that nobody else was told later.</summary>
    /// <exception cref="LaterEpochException">Somebody was.</exception>
    /// <exception cref="ClusterException"><see cref="ErrorCode.Unavailable"/>: the servers do not answer.</exception>
    public async Task CheckAsync()
    {
        await _entry.LoadAsync().ConfigureAwait(false);
        ReadOnlyMemory<byte> known = _entry.Value;
        if (known.Length < Size)
            return;

        _epoch = BinaryPrimitives.ReadInt64BigEndian(known.Span);
        int spu = BinaryPrimitives.ReadInt32BigEndian(known.Span[sizeof(long)..]);
        if (_epoch > info.LeaderEpoch || (_epoch == info.LeaderEpoch && spu != info.LeaderSpu))
        {
            throw new LaterEpochException(_epoch, spu != info.LeaderSpu
                ? $"partition {id} is led by SPU {spu} since; ask there"
                : $"partition {id} was given to this SPU later, with epoch {_epoch}, than it knows, with {info.LeaderEpoch}; the SC is told");
        }
    }

    /// <summary>Writes the epoch where it is a higher one than <see cref="CheckAsync"/> has found.</summary>
    /// <exception cref="ClusterException">Somebody else has written since, or the servers do not answer.</exception>
    public async Task ClaimAsync()
    {
        if (info.LeaderEpoch <= _epoch)
            return;

        byte[] value = new byte[Size];
        BinaryPrimitives.WriteInt64BigEndian(value, info.LeaderEpoch);
        BinaryPrimitives.WriteInt32BigEndian(value.AsSpan(sizeof(long)), info.LeaderSpu);
        if (!await _entry.TrySaveAsync(value).ConfigureAwait(false))
            throw new ClusterException(ErrorCode.Unavailable, $"another SPU opens partition {id} at the same time; try again");

        _epoch = info.LeaderEpoch;
    }
}
