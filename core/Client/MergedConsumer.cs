using System.Runtime.CompilerServices;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>
/// Reads all partitions of a topic, those that there are when it is made: the records of each in their order, and those of several as they
/// come. Each is read as by a <see cref="Consumer"/> of its own. For one caller at a time.
/// </summary>
public sealed class MergedConsumer : IAsyncDisposable
{
    private readonly PartitionTurns _turns = new();
    private readonly SharedPartition[] _partitions;

    internal MergedConsumer(IEnumerable<ConsumeRequest> requests, Func<ConsumeRequest, Task<Consumer>> open) =>
        _partitions = [.. requests.Select(request => new SharedPartition(request, open, _turns.Arrived))];

    /// <summary>How many partitions it reads.</summary>
    public int Count => _partitions.Length;

    /// <summary>The records; ends where all partitions do, if they were asked to stop at their ends. Each is valid until the next is asked for.</summary>
    /// <exception cref="ClientException">See <see cref="Consumer.ReadBatchesAsync"/>; of any partition.</exception>
    public async IAsyncEnumerable<GroupRecord> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (true)
        {
            // Whoever has always something at hand must not keep it from ending.
            cancellationToken.ThrowIfCancellationRequested();
            if (_turns.TryChoose())
            {
                SharedPartition partition = _turns.Current!;
                yield return partition.Current;
                partition.Advance();
            }
            else if (_partitions.All(partition => partition.HasEnded))
            {
                yield break;
            }
            else
            {
                await _turns.WaitAsync(cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (SharedPartition partition in _partitions)
            await partition.DisposeAsync().ConfigureAwait(false);
    }
}
