using System.Threading.Channels;

namespace EdgeStream.Client;

/// <summary>Gives turns to partitions that are read at once, as their records come. For one caller at a time, but for <see cref="Arrived"/>.</summary>
internal sealed class PartitionTurns
{
    // Records of one partition in a row while others wait.
    private const int MaxInARow = 500;

    // Those at which something may have arrived, in the order of their turns.
    private readonly Channel<SharedPartition> _ready = Channel.CreateUnbounded<SharedPartition>();
    private int _inARow;

    /// <summary>Whose turn it is; null where nobody has had one, or whoever had is gone.</summary>
    public SharedPartition? Current { get; private set; }

    /// <summary>That something has arrived at a partition that has waited for it; from any thread.</summary>
    public void Arrived(SharedPartition partition) => _ready.Writer.TryWrite(partition);

    /// <summary>Goes on with the partition that had its turn, or gives the next one a turn; false where no record is at hand.</summary>
    /// <exception cref="ClientException">A partition cannot be read any more.</exception>
    public bool TryChoose()
    {
        if (IsAtHand(Current))
        {
            if (++_inARow < MaxInARow)
                return true;

            Arrived(Current!);
        }

        _inARow = 0;
        while (_ready.Reader.TryRead(out SharedPartition? next))
        {
            if (!IsAtHand(next))
                continue;

            Current = next;
            return true;
        }

        return false;
    }

    /// <summary>Until <see cref="TryChoose"/> is worth another try.</summary>
    public Task WaitAsync(CancellationToken cancellationToken) => _ready.Reader.WaitToReadAsync(cancellationToken).AsTask();

    /// <summary>A partition is not read any more.</summary>
    public void Leave(SharedPartition partition)
    {
        if (ReferenceEquals(Current, partition))
            Current = null;
    }

    /// <summary>Whether there is a record.</summary>
    private static bool IsAtHand(SharedPartition? partition) =>
        partition is { IsDisposed: false, Arrival.IsCompleted: true } && partition.Arrival.GetAwaiter().GetResult();
}
