using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Tools;

/// <summary>
/// Reads a segment file from its start to its end, batch by batch, and says what is damaged on the way. Only reads, and may be
/// used while a node writes to the file: what comes meanwhile is read too. For one caller at a time; owns the file.
/// </summary>
/// <param name="file">The segment's log file.</param>
/// <param name="baseOffset">The offset that it starts with.</param>
/// <param name="endOffset">Where the next segment starts; <see cref="long.MaxValue"/> where this is the last.</param>
/// <param name="knownEnd">
/// Offsets below this are known to have been here. Where they are not, the end of what can be read is damage; else it is where
/// the log ends, and what lies behind it (zeros, or what the file held in a former life) is passed over without a word.
/// </param>
public sealed class SegmentWalk(ILogFile file, long baseOffset, long endOffset, long knownEnd) : IDisposable
{
    private const int ChunkSize = 256 * 1024;

    // How often something good may turn up where there was nothing a moment ago before the file counts as one that is overwritten.
    private const int MaxRetries = 3;

    private readonly SalvagedFile _file = new(file);
    private byte[] _window = new byte[ChunkSize];
    private long _windowStart;
    private int _windowLength;

    /// <summary>Where the last part ended, in bytes.</summary>
    public long Position { get; private set; }

    /// <summary>The offset that should come next.</summary>
    public long NextOffset { get; private set; } = baseOffset;

    public IEnumerable<SegmentPart> Parts()
    {
        var runs = new Queue<BatchRun>();
        int retries = 0;
        while (NextOffset < endOffset)
        {
            if (TryReadBatch() is { } batch)
            {
                retries = 0;
                Advance(batch);
                yield return batch;
                continue;
            }

            // One search finds all that is good behind; each damaged place on the way to it needs no other.
            while (runs.TryPeek(out BatchRun run) && run.First < NextOffset)
                runs.Dequeue();

            if (runs.Count == 0)
                runs = new Queue<BatchRun>(SegmentScanner.FindRuns(_file, Position, NextOffset, endOffset));

            (long position, long next) = runs.TryPeek(out BatchRun good) ? (good.Position, good.First) : (_file.Length, knownEnd);
            if (runs.Count > 0 && next == NextOffset && position == Position)
            {
                // A node has written it just now.
                runs.Clear();
                _windowLength = 0;
                if (++retries > MaxRetries)
                    yield break;

                continue;
            }

            if (runs.Count == 0 && next <= NextOffset)
                yield break;

            foreach (SegmentPart damaged in DamagedParts(position, next, isTail: runs.Count == 0))
                yield return damaged;
        }
    }

    public void Dispose() => _file.Dispose();

    private void Advance(in SegmentPart part) => (Position, NextOffset) = (part.EndPosition, part.Next);

    private SegmentPart? TryReadBatch() =>
        TryReadHeader() is { } header && header.BaseOffset == NextOffset && Window(header.TotalLength) is var bytes
            && bytes.Length == header.TotalLength && RecordBatchHeader.VerifyChecksum(bytes.Span)
            ? new SegmentPart(Position, Position + bytes.Length, header.BaseOffset, header.NextOffset, header, bytes, null)
            : null;

    /// <summary>What lies up to a position and an offset: batches whose header can still be read one by one, and the rest.</summary>
    private IEnumerable<SegmentPart> DamagedParts(long endPosition, long next, bool isTail)
    {
        while (TryReadHeader() is { } header && header.BaseOffset == NextOffset && header.NextOffset <= next
            && Position + header.TotalLength <= endPosition)
        {
            var batch = new SegmentPart(
                Position, Position + header.TotalLength, NextOffset, header.NextOffset, header, Window(header.TotalLength),
                "the checksum of the batch is wrong");
            Advance(batch);
            yield return batch;
        }

        // Room that was allocated beforehand may follow the last batch.
        if (NextOffset < next || (!isTail && Position < endPosition))
        {
            var rest = new SegmentPart(Position, endPosition, NextOffset, next, null, default, WhyNoBatch(endPosition));
            Advance(rest);
            yield return rest;
        }
    }

    private string WhyNoBatch(long endPosition)
    {
        ReadOnlyMemory<byte> start = Window(RecordBatchHeader.Size);
        if (start.IsEmpty)
            return "the file ends here";

        if (Position == endPosition)
            return "offsets are left out here";

        if (!start.Span.ContainsAnyExcept((byte)0))
            return "zeros stand in the place of a batch";

        return RecordBatchHeader.TryRead(start.Span, out RecordBatchHeader header, out string? problem)
            ? $"a batch of {header.TotalLength} bytes at offset {header.BaseOffset} does not belong here"
            : $"no batch can be read: {problem}";
    }

    private RecordBatchHeader? TryReadHeader() =>
        RecordBatchHeader.TryRead(Window(RecordBatchHeader.Size).Span, out RecordBatchHeader header, out _) ? header : null;

    /// <summary>So many bytes at the position; fewer at the end of the file.</summary>
    private ReadOnlyMemory<byte> Window(int count)
    {
        long at = Position - _windowStart;
        if (at < 0 || at + count > _windowLength)
        {
            if (_window.Length < count)
                _window = new byte[count];

            _windowStart = Position;
            _windowLength = Fill();
            at = 0;
        }

        return _window.AsMemory((int)at, (int)Math.Min(count, _windowLength - at));
    }

    private int Fill()
    {
        int filled = 0, read;
        while (filled < _window.Length && (read = _file.Read(_window.AsSpan(filled), Position + filled)) > 0)
            filled += read;

        return filled;
    }
}
