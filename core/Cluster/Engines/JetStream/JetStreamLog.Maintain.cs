using System.Buffers.Binary;
using System.Globalization;
using EdgeStream.Cluster.Nats;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>What is done now and then: what lies beside the records is kept, what is too old goes, and the start follows retention.</content>
internal sealed partial class JetStreamLog
{
    // Of the newest gaps, as many as a value of the bucket may have; all are in the stream, as long as retention leaves them there.
    private const int MaxSavedGaps = 10_000;

    private readonly SemaphoreSlim _maintaining = new(1);

    // The acknowledging loop adds, and so does a reader that finds that something is missing.
    private readonly Lock _gapsLock = new();
    private long _lastGapSequence;
    private int _savedGaps;
    private int _savedAnchors;
    private long _savedMirrored;

    // The newest time that the servers have told, and when that was by the monotonic clock here.
    private DateTimeOffset _toldTime;
    private long _toldAt;

    /// <summary>
    /// The servers' time, as far as it has come for certain: that of the newest message, and what has passed since it was seen. By the
    /// date of this machine, if it is a wrong one, records would be old that are not.
    /// </summary>
    private DateTimeOffset ServersTime => _toldTime + _time.GetElapsedTime(_toldAt);

    /// <summary>For one caller at a time; errors are the caller's to report, and the next call tries again.</summary>
    /// <exception cref="EdgeStreamException">The servers do not answer.</exception>
    public async Task MaintainAsync()
    {
        if (_failure is not null || Volatile.Read(ref _disposed) != 0)
            return;

        await RefreshAsync().ConfigureAwait(false);
        if (_settings.RetentionAge is { } age)
            await DropExpiredAsync(age).ConfigureAwait(false);

        await SaveStateAsync().ConfigureAwait(false);
    }

    /// <summary>Asks the servers what retention has left.</summary>
    private async Task RefreshAsync()
    {
        StreamInfo stream = await FindOwnAsync().ConfigureAwait(false);
        await ThrowIfOvertakenAsync((long)stream.State.LastSeq).ConfigureAwait(false);
        Interlocked.Exchange(ref _storedBytes, stream.State.Bytes);
        NoteServersTime(stream);
        if ((long)stream.State.FirstSeq <= Volatile.Read(ref _firstSequence))
            return;

        using StreamMessage? first = await _servers.FindFromLeaderAsync(_names.Stream, (long)stream.State.FirstSeq, _names.Subject + ".*")
            .ConfigureAwait(false);
        if (first is not null)
            MoveStart(first);
    }

    private void NoteServersTime(StreamInfo stream)
    {
        if (DateTimeOffset.TryParse(stream.State.LastTs, CultureInfo.InvariantCulture, out DateTimeOffset told) && told > ServersTime)
            (_toldTime, _toldAt) = (told, _time.GetTimestamp());
    }

    /// <summary>
    /// A writer that nobody writes to does not come to know that another has its place; its readers would wait for ever for what comes there.
    /// </summary>
    /// <param name="lastSequence">The stream's.</param>
    /// <exception cref="ClusterException">There is another's epoch behind that of this writer.</exception>
    private async Task ThrowIfOvertakenAsync(long lastSequence)
    {
        if (lastSequence <= Volatile.Read(ref _lastSequence))
            return;

        // Whoever takes the place writes an epoch before anything else.
        StoredMessage? epoch = await _servers.FindLastAsync(_names.Stream, _names.Epoch).ConfigureAwait(false);
        if (epoch is not null && StreamMessage.WriterOf(epoch.Data.Span) != _writerId)
            throw Fail(Overtaken);
    }

    private void MoveStart(StreamMessage first)
    {
        long start = Math.Min(first.BaseOffset, _durable.Value);
        if (start < StartOffset)
            return;

        // What the copy did not have is lost; what it has, or is nobody else's, was dropped as it should be.
        long lost = Math.Max(_mirrored.Value, StartOffset);
        if (_settings.IsMirrored && lost < start)
        {
            GapReason reason = _settings.RetentionAge is not null ? GapReason.Retention : GapReason.Overflow;
            NoteGap(new Gap(lost, start - 1, 0, -1, -1, reason, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()), sequence: null);
        }

        _mirrored.Advance(start);
        Volatile.Write(ref _firstSequence, first.Sequence);
        Volatile.Write(ref _start, start);
        _index.RemoveBelow(first.Sequence);
        Clock.Forget(start);
    }

    /// <summary>The last message stays, whatever its age.</summary>
    private async Task DropExpiredAsync(TimeSpan age)
    {
        DateTimeOffset now = ServersTime;
        long low = Volatile.Read(ref _firstSequence), high = Volatile.Read(ref _lastSequence);
        long keepFrom = low;
        while (low <= high)
        {
            long middle = low + ((high - low) / 2);
            using StreamMessage? message = await _servers.FindFromLeaderAsync(_names.Stream, middle, _names.Subject + ".*").ConfigureAwait(false);
            if (message is null || now - message.StoredAt <= age)
            {
                high = middle - 1;
            }
            else
            {
                low = message.Sequence + 1;
                keepFrom = low;
            }
        }

        keepFrom = Math.Min(keepFrom, Volatile.Read(ref _lastSequence));
        if (keepFrom <= Volatile.Read(ref _firstSequence))
            return;

        await _servers.PurgeAsync(_names.Stream, new StreamPurgeRequest { Seq = (ulong)keepFrom }).ConfigureAwait(false);
        await RefreshAsync().ConfigureAwait(false);
    }

    private void NoteGap(Gap gap, long? sequence)
    {
        lock (_gapsLock)
        {
            IReadOnlyList<(long First, long Last)> unknown = _gaps.Uncovered(gap.First, gap.Last);
            if (unknown.Count == 0)
                return;

            foreach ((long first, long last) in unknown)
                Volatile.Write(ref _gaps, _gaps.With(gap with { First = first, Last = last }));

            _lastGapSequence = Math.Max(_lastGapSequence, sequence ?? 0);
            _savedGaps = -1;
        }
    }

    private async Task SaveStateAsync()
    {
        await _maintaining.WaitAsync().ConfigureAwait(false);
        try
        {
            await SaveGapsAsync().ConfigureAwait(false);
            int anchors = _anchors.Changes;
            if (anchors != _savedAnchors)
            {
                byte[] clock = Clock.History.EncodeBehind([]);
                await SaveAsync(_clockEntry, clock, _ => clock).ConfigureAwait(false);
                _savedAnchors = anchors;
            }

            long mirrored = _mirrored.Value;
            if (_settings.IsMirrored && mirrored != _savedMirrored)
            {
                byte[] mark = new byte[sizeof(long)];
                BinaryPrimitives.WriteInt64BigEndian(mark, mirrored);
                await SaveAsync(_mirroredEntry, mark, _ => mark).ConfigureAwait(false);
                _savedMirrored = mirrored;
            }
        }
        catch (NatsJSApiException refusal)
        {
            throw _servers.Unavailable(refusal.Message);
        }
        finally
        {
            _maintaining.Release();
        }
    }

    private async Task SaveGapsAsync()
    {
        byte[] value;
        lock (_gapsLock)
        {
            if (_savedGaps == _gaps.Count)
                return;

            value = EncodeGaps();
            _savedGaps = _gaps.Count;
        }

        try
        {
            await SaveAsync(_gapsEntry, value, others =>
            {
                lock (_gapsLock)
                {
                    foreach (Gap gap in DecodeGaps(others).Gaps)
                        NoteGap(gap, sequence: null);

                    value = EncodeGaps();
                    _savedGaps = _gaps.Count;
                    return value;
                }
            }).ConfigureAwait(false);
        }
        catch
        {
            _savedGaps = -1;
            throw;
        }
    }

    /// <summary>The entry's value: the sequence of the last gap in the stream that is among them, then the gaps.</summary>
    private byte[] EncodeGaps()
    {
        byte[] sequence = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(sequence, _lastGapSequence);
        return [.. sequence, .. Gaps.TakeLast(MaxSavedGaps).SelectMany(StreamMessage.Encode)];
    }

    private static (long LastSequence, IEnumerable<Gap> Gaps) DecodeGaps(ReadOnlyMemory<byte> value) => value.Length < sizeof(long)
        ? (0, [])
        : (BinaryPrimitives.ReadInt64BigEndian(value.Span), StreamMessage.DecodeGaps(value[sizeof(long)..]));

    /// <summary>
    /// Writes an entry. The writer before this one may have written it since this one has read it, as the last that it did: that is no
    /// reason to keep nothing any more.
    /// </summary>
    /// <param name="entry">Which.</param>
    /// <param name="value">Its value.</param>
    /// <param name="merge">Its value where the entry has another than was read: made of that one.</param>
    /// <exception cref="ClusterException">Another writer has the place now, or the servers do not answer.</exception>
    private async Task SaveAsync(StateEntry entry, byte[] value, Func<ReadOnlyMemory<byte>, byte[]> merge)
    {
        if (await entry.TrySaveAsync(value).ConfigureAwait(false))
            return;

        await ThrowIfOvertakenAsync(long.MaxValue).ConfigureAwait(false);
        if (!await entry.TrySaveAsync(merge(entry.Value)).ConfigureAwait(false))
            throw _servers.Unavailable($"what lies beside the stream '{_names.Stream}' is written by somebody else too");
    }
}
