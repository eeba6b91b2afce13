using System.Collections.Concurrent;
using System.Globalization;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>A record that a writer has sent to a partition; no other has its payload.</summary>
internal sealed class Sent(int partition, string writer, long sequence)
{
    private const long None = -1;

    private long _offset = None;

    public int Partition => partition;

    /// <summary>One producer, until it is given up.</summary>
    public string Writer => writer;

    /// <summary>Its place among what the writer sends to the partition.</summary>
    public long Sequence => sequence;

    public string Payload { get; } = string.Create(CultureInfo.InvariantCulture, $"{writer} {partition} {sequence}");

    /// <summary>The offset that was acknowledged; null where nothing was, so that nobody knows whether it is stored.</summary>
    public long? Offset => Volatile.Read(ref _offset) is var offset and not None ? offset : null;

    public void Acknowledge(long offset) => Volatile.Write(ref _offset, offset);
}

/// <summary>A record as a reader was given it.</summary>
internal readonly record struct Seen(int Partition, long Offset, string Payload);

/// <summary>What one reader was given, in the order in which it was. One writes, any may read.</summary>
internal sealed class Reading(string reader)
{
    private readonly ConcurrentQueue<Seen> _records = new();

    public string Reader => reader;

    public IEnumerable<Seen> Records => _records;

    public int Count => _records.Count;

    public void Add(Seen record) => _records.Enqueue(record);
}

/// <summary>What was written to a topic, and what was read of it.</summary>
internal sealed class History
{
    private readonly ConcurrentQueue<Sent> _sent = new();

    public IEnumerable<Sent> Sent => _sent;

    /// <summary>Of the whole topic, from the beginning to the end, after all was written.</summary>
    public List<Reading> Complete { get; } = [];

    /// <summary>From the beginning on, while it was written; ended at any time.</summary>
    public List<Reading> Live { get; } = [];

    /// <summary>By the members of one group, which together have read all.</summary>
    public List<Reading> Group { get; } = [];

    public Sent Send(int partition, string writer, long sequence)
    {
        var sent = new Sent(partition, writer, sequence);
        _sent.Enqueue(sent);
        return sent;
    }
}
