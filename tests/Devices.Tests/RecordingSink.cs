using System.Text;

namespace EdgeStream.Devices.Tests;

/// <summary>A sink that a test can close, so that nothing becomes durable, and that can refuse or fail.</summary>
internal sealed class RecordingSink : IRecordSink
{
    private readonly Lock _lock = new();
    private readonly List<SourceRecord> _offered = [];
    private readonly HashSet<int> _stored = [];
    private TaskCompletionSource _gate = Opened();

    /// <summary>Refuses a record for good.</summary>
    public Func<SourceRecord, bool> Rejects { get; set; } = _ => false;

    /// <summary>Fails for a reason that may pass.</summary>
    public Func<SourceRecord, bool> Fails { get; set; } = _ => false;

    /// <summary>What was handed over, stored or not, in the order of the calls.</summary>
    public IReadOnlyList<SourceRecord> Offered
    {
        get
        {
            lock (_lock)
                return [.. _offered];
        }
    }

    /// <summary>What became durable, in the order it was handed over: as a log would hold it.</summary>
    public IReadOnlyList<SourceRecord> Stored
    {
        get
        {
            lock (_lock)
                return [.. _offered.Where((_, index) => _stored.Contains(index))];
        }
    }

    public IReadOnlyList<string> StoredValues => [.. Stored.Select(record => Encoding.UTF8.GetString(record.Value.Span))];

    /// <summary>From now on nothing becomes durable.</summary>
    public void Close()
    {
        lock (_lock)
            _gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    public void Open()
    {
        lock (_lock)
            _gate.TrySetResult();
    }

    public async ValueTask AppendAsync(SourceRecord record, CancellationToken cancellationToken)
    {
        Task gate;
        int index;
        lock (_lock)
        {
            index = _offered.Count;

            // As a log does: when it is stored, the memory is the source's again.
            _offered.Add(record with { Value = record.Value.ToArray() });
            gate = _gate.Task;
        }

        await gate.WaitAsync(cancellationToken);
        if (Rejects(record))
            throw new RecordRejectedException("the test refuses it");

        if (Fails(record))
            throw new IOException("the test's disk is broken");

        lock (_lock)
            _stored.Add(index);
    }

    private static TaskCompletionSource Opened()
    {
        var gate = new TaskCompletionSource();
        gate.SetResult();
        return gate;
    }
}
