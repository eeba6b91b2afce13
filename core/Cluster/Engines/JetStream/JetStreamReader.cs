using System.Buffers;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// Reads a partition's stream onward. Messages are asked for one by one, by their sequence, a few ahead of the reader while it goes on: so
/// a reader is nothing that the servers know of, and outlives any of them. Memory: the message that is read, and those ahead, 2 MiB or so.
/// </summary>
internal sealed class JetStreamReader(JetStreamLog log, long offset) : IPartitionReader
{
    private const int AheadBytes = 2 * 1024 * 1024;
    private const int MaxAhead = 16;

    private readonly Queue<(long Sequence, Task<StreamMessage?> Answer)> _ahead = new();
    private StreamMessage? _message;
    private ReadOnlyMemory<byte> _rest;

    // The next to ask for, and how many may be ahead; -1 before it is known where the offset lies.
    private long _next = -1;
    private int _window = 1;

    public long NextOffset { get; private set; } = offset;

    public async ValueTask<LogSlice> ReadAsync(int maxBytes, long endOffset = long.MaxValue, CancellationToken cancellationToken = default)
    {
        log.ThrowIfClosed();
        long end = Math.Min(log.DurableOffset, endOffset);
        byte[] buffer = [];
        int filled = 0;
        long first = -1;
        try
        {
            while (true)
            {
                while (filled == 0 && log.FindGap(NextOffset) is { } gap)
                    NextOffset = gap.Last + 1;

                if (NextOffset >= end)
                    break;

                if (_rest.IsEmpty)
                {
                    // With something in hand nobody is kept waiting for more.
                    if (filled > 0 && !IsNextHere)
                        break;

                    await TakeNextAsync(cancellationToken).ConfigureAwait(false);
                    continue;
                }

                if (!RecordBatchHeader.TryRead(_rest.Span, out RecordBatchHeader header, out string? problem) || header.TotalLength > _rest.Length)
                    throw new PartitionDamagedException($"message {_message!.Sequence} of the stream is none of this hub's ({problem ?? "cut short"})");

                ReadOnlyMemory<byte> batch = _rest[..header.TotalLength];
                if (header.NextOffset <= NextOffset)
                {
                    _rest = _rest[batch.Length..];
                    continue;
                }

                if (header.BaseOffset > NextOffset)
                {
                    // A gap, or what retention took while this was read; either way what is in hand goes first.
                    if (filled > 0)
                        break;

                    if (log.FindGap(NextOffset) is null)
                        await log.NoteMissingAsync(NextOffset, header.BaseOffset).ConfigureAwait(false);

                    continue;
                }

                if (filled > 0 && filled + batch.Length > maxBytes)
                    break;

                if (!RecordBatchHeader.VerifyChecksum(batch.Span))
                    throw new PartitionDamagedException($"the checksum of the batch at offset {header.BaseOffset} is wrong");

                buffer = WithRoom(buffer, filled, Math.Max(Math.Min(maxBytes, _rest.Length), batch.Length));
                batch.CopyTo(buffer.AsMemory(filled));
                filled += batch.Length;
                first = first < 0 ? header.BaseOffset : first;
                NextOffset = header.NextOffset;
                _rest = _rest[batch.Length..];
            }

            return filled > 0 ? new LogSlice(buffer, 0, filled, first, NextOffset) : new LogSlice(null, 0, 0, NextOffset, NextOffset);
        }
        catch
        {
            Return(buffer);
            throw;
        }
    }

    public ValueTask WaitAsync(CancellationToken cancellationToken) => log.WaitForDurableAsync(NextOffset + 1, cancellationToken);

    public void Dispose()
    {
        _message?.Dispose();
        _message = null;
        _rest = default;
        ForgetAhead();
    }

    private bool IsNextHere => _ahead.TryPeek(out var next) && next.Answer.IsCompleted;

    private async ValueTask TakeNextAsync(CancellationToken cancellationToken)
    {
        _message?.Dispose();
        _message = null;
        if (_next < 0)
            _next = await log.FindSequenceAsync(NextOffset).AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);

        AskAhead();
        if (!_ahead.TryDequeue(out var asked))
            throw new PartitionDamagedException($"the stream ends before offset {NextOffset}, which was durable");

        StreamMessage? message = await asked.Answer.WaitAsync(cancellationToken).ConfigureAwait(false);
        if (message is null)
        {
            // Dropped, or asked of a server that is behind the others: its leader knows.
            message = await log.FindAtOrBehindAsync(asked.Sequence).WaitAsync(cancellationToken).ConfigureAwait(false)
                ?? throw new PartitionDamagedException($"the stream ends before offset {NextOffset}, which was durable");
            if (message.Sequence != asked.Sequence)
            {
                ForgetAhead();
                _next = message.Sequence + 1;
            }
        }

        _message = message;
        log.Note(message);
        _rest = message.Kind == MessageKind.Data ? message.Payload : default;
        int fitting = AheadBytes / Math.Max(1, message.Payload.Length);
        _window = Math.Clamp(_window * 2, 1, Math.Clamp(fitting, 1, MaxAhead));
    }

    private void AskAhead()
    {
        while (_ahead.Count < _window && _next <= log.LastSequence)
        {
            _ahead.Enqueue((_next, log.FindAsync(_next)));
            _next++;
        }
    }

    private void ForgetAhead()
    {
        while (_ahead.TryDequeue(out var asked))
            _ = DisposeLaterAsync(asked.Answer);
    }

    private static async Task DisposeLaterAsync(Task<StreamMessage?> answer) => (await answer.ConfigureAwait(false))?.Dispose();

    private static byte[] WithRoom(byte[] buffer, int filled, int more)
    {
        if (buffer.Length - filled >= more)
            return buffer;

        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(filled + more, 2 * filled));
        buffer.AsSpan(0, filled).CopyTo(larger);
        Return(buffer);
        return larger;
    }

    private static void Return(byte[] buffer)
    {
        if (buffer.Length > 0)
            ArrayPool<byte>.Shared.Return(buffer);
    }
}
