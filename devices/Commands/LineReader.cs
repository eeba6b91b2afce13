namespace EdgeStream.Devices.Commands;

/// <summary>
/// Cuts a stream into lines, many at a time, in a buffer that does not grow. Does not read on before the caller comes back: that is
/// what makes the other end wait.
/// </summary>
/// <param name="stream">Where the lines come from; stays the caller's.</param>
/// <param name="maxLineBytes">The longest line, without its end.</param>
internal sealed class LineReader(Stream stream, int maxLineBytes)
{
    private readonly byte[] _buffer = new byte[maxLineBytes + 2];
    private readonly List<ReadOnlyMemory<byte>> _lines = [];
    private int _begin;
    private int _end;
    private bool _isTooLong;

    /// <summary>How many lines were longer than allowed, the one that is being read included; they are not among those that are returned.</summary>
    public long TooLong { get; private set; }

    /// <summary>Whether there is nothing more to come.</summary>
    public bool IsAtEnd { get; private set; }

    /// <summary>The lines that came next, without their ends; none where all that came was too long, and at the end.</summary>
    /// <returns>Valid until the next call.</returns>
    public async ValueTask<IReadOnlyList<ReadOnlyMemory<byte>>> ReadAsync(CancellationToken cancellationToken)
    {
        _lines.Clear();
        long tooLong = TooLong;
        while (_lines.Count == 0 && TooLong == tooLong)
        {
            _buffer.AsSpan(_begin.._end).CopyTo(_buffer);
            (_begin, _end) = (0, _end - _begin);
            if (_end == _buffer.Length)
            {
                // What comes up to the line's end belongs to it.
                _end = 0;
                CountTooLong();
            }

            int read = await stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                TakeLast();
                IsAtEnd = true;
                return _lines;
            }

            _end += read;
            while (_buffer.AsSpan(_begin.._end).IndexOf((byte)'\n') is >= 0 and var length)
            {
                Take(length);
                _begin += length + 1;
            }
        }

        return _lines;
    }

    /// <summary>What stands behind the last line's end.</summary>
    private void TakeLast()
    {
        if (_end > _begin || _isTooLong)
            Take(_end - _begin);

        _begin = _end;
    }

    private void Take(int length)
    {
        ReadOnlyMemory<byte> line = _buffer.AsMemory(_begin, length);
        if (line.Span.EndsWith((byte)'\r'))
            line = line[..^1];

        if (_isTooLong || line.Length > maxLineBytes)
            CountTooLong();
        else if (!line.IsEmpty)
            _lines.Add(line);

        _isTooLong = false;
    }

    /// <summary>Once for each line: one without an end is told, too.</summary>
    private void CountTooLong()
    {
        if (!_isTooLong)
            TooLong++;

        _isTooLong = true;
    }
}
