using System.Diagnostics.CodeAnalysis;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Log;

/// <summary>
/// What the producers that number their batches have appended last: it tells a batch that is sent again from the next one. The numbers are
/// those of Kafka's record batches (producer id, epoch, base sequence), a producer's first batch has 0. For one caller at a time.
/// </summary>
public sealed class ProducerSequences
{
    /// <summary>Producers that are remembered; of more, those that appended longest ago go.</summary>
    public const int MaxProducers = 1000;

    // Of one producer; more than any client has on their way.
    private const int MaxBatches = 256;

    private readonly Dictionary<long, LinkedListNode<Producer>> _producers = [];

    // The one that appended last comes last.
    private readonly LinkedList<Producer> _byAge = new();

    private sealed record Producer(long Id)
    {
        public short Epoch { get; set; }

        public int Next { get; set; }

        public Queue<(int Sequence, AppendedRange Range)> Batches { get; } = new();
    }

    /// <summary>Whether any of these batches, one behind the other and verified, has a producer's number.</summary>
    public static bool IsAnyNumbered(ReadOnlySpan<byte> batches)
    {
        while (!batches.IsEmpty)
        {
            RecordBatchHeader.TryRead(batches, out RecordBatchHeader header, out _);
            if (IsNumbered(header))
                return true;

            batches = batches[header.TotalLength..];
        }

        return false;
    }

    public static bool IsNumbered(in RecordBatchHeader header) => header.ProducerId >= 0 && header.BaseSequence >= 0;

    /// <summary>Whether a batch may be appended, or was before.</summary>
    /// <param name="header">Of a batch that is numbered.</param>
    /// <param name="known">Where it lies, if it was appended before.</param>
    /// <param name="problem">Why it is refused, in one line.</param>
    /// <returns>Whether it is the next of its producer, or one that was appended before.</returns>
    public bool TryFollow(in RecordBatchHeader header, out AppendedRange? known, [NotNullWhen(false)] out string? problem)
    {
        (known, problem) = (null, null);
        int sequence = header.BaseSequence, expected = 0;
        if (_producers.TryGetValue(header.ProducerId, out LinkedListNode<Producer>? node) && node.Value is var producer)
        {
            if (header.ProducerEpoch < producer.Epoch)
            {
                problem = $"producer {header.ProducerId} goes on with epoch {producer.Epoch}, and {header.ProducerEpoch} is out";
                return false;
            }

            if (header.ProducerEpoch == producer.Epoch)
            {
                foreach ((int appended, AppendedRange range) in producer.Batches)
                {
                    if (appended == sequence && range.LastOffset - range.BaseOffset == header.LastOffsetDelta)
                        known = range;
                }

                if (known is not null)
                    return true;

                expected = producer.Next;
            }
        }

        if (sequence == expected)
            return true;

        problem = node is null
            ? $"producer {header.ProducerId} goes on with {sequence}, and what it has appended before is not known here any more"
            : $"producer {header.ProducerId} goes on with {sequence} where {expected} is the next; a batch is missing or too old";
        return false;
    }

    /// <summary>A batch was appended.</summary>
    public void Note(in RecordBatchHeader header, long baseOffset)
    {
        if (_producers.Remove(header.ProducerId, out LinkedListNode<Producer>? node))
            _byAge.Remove(node);
        else
            node = new LinkedListNode<Producer>(new Producer(header.ProducerId));

        Producer producer = node.Value;
        if (producer.Epoch != header.ProducerEpoch)
            producer.Batches.Clear();

        producer.Epoch = header.ProducerEpoch;

        // Kafka's numbers go on with 0 behind the largest.
        producer.Next = (header.BaseSequence + header.RecordCount) & int.MaxValue;
        if (producer.Batches.Count == MaxBatches)
            producer.Batches.Dequeue();

        producer.Batches.Enqueue((header.BaseSequence, new AppendedRange(baseOffset, baseOffset + header.LastOffsetDelta)));
        _producers[header.ProducerId] = node;
        _byAge.AddLast(node);
        if (_byAge.Count > MaxProducers)
        {
            _producers.Remove(_byAge.First!.Value.Id);
            _byAge.RemoveFirst();
        }
    }
}
