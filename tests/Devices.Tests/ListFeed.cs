using System.Text;
using System.Threading.Channels;

namespace EdgeStream.Devices.Tests;

/// <summary>A feed whose records a test adds; what a sink has failed at it gets again, as from a log.</summary>
internal sealed class ListFeed : IRecordFeed
{
    private readonly Channel<SinkRecord> _records = Channel.CreateUnbounded<SinkRecord>();
    private int _added;
    private int _done;

    /// <summary>How many the sink is done with.</summary>
    public int Done => Volatile.Read(ref _done);

    public void Add(string value, string? key = null) => _records.Writer.TryWrite(new SinkRecord(
        "commands",
        _added++,
        key is null ? null : new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(key)),
        Encoding.UTF8.GetBytes(value)));

    public async Task FollowAsync(ISink sink, Func<SinkRecord, CancellationToken, ValueTask> act, CancellationToken cancellationToken)
    {
        while (await _records.Reader.WaitToReadAsync(cancellationToken))
        {
            Assert.True(_records.Reader.TryPeek(out SinkRecord? next));
            await act(next, cancellationToken);
            _records.Reader.TryRead(out _);
            Interlocked.Increment(ref _done);
        }
    }
}
