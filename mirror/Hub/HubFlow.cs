using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Shares the hub's memory among its uplinks: those that send get equal windows, small when all of them come back at once. Three
/// bounds hold for all together: what has arrived and is not acknowledged, what belongs to chunks of which pieces are still to come,
/// and what chunks have become that were put together or decompressed. Safe from any thread.
/// </summary>
/// <remarks>
/// Nobody waits for ever. Who has arrived or whole bytes waits for a disk only, never for its peer and never for a bound that
/// comes before. An unfinished chunk does wait for its peer: so it gets room for all of it when it begins, or its topic is refused for
/// now; and an edge that has one under way does not wait for the next, whose room could only come from itself. The chunk of an old edge,
/// which does not say how large it becomes, grows where there is room at once, and is refused where there is none.
/// </remarks>
public sealed class HubFlow
{
    /// <summary>The most that one edge may have on its way, in bytes.</summary>
    public const int MaxWindowBytes = 4 * 1024 * 1024;

    /// <summary>The least, in bytes: what a slow link needs to stay busy.</summary>
    public const int MinWindowBytes = 32 * 1024;

    // Less than after what time an edge gives its link up.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly long _totalBytes;
    private readonly ByteBudget _arrived;
    private readonly ByteBudget _unfinished;
    private readonly ByteBudget _whole;
    private int _sending;

    /// <param name="totalBytes">What all uplinks together may have of each kind, in bytes.</param>
    public HubFlow(long totalBytes = 64 * 1024 * 1024)
    {
        _totalBytes = totalBytes;
        _arrived = new ByteBudget(totalBytes);
        _unfinished = new ByteBudget(totalBytes);
        _whole = new ByteBudget(totalBytes);
    }

    /// <summary>How many bytes each uplink that sends may have on its way right now.</summary>
    public long WindowBytes => Math.Clamp(_totalBytes / Math.Max(1, Volatile.Read(ref _sending)), MinWindowBytes, MaxWindowBytes);

    /// <summary>What has arrived of all uplinks and is not acknowledged, in bytes.</summary>
    public long ArrivedBytes => _arrived.Used;

    /// <summary>What chunks may take whose last piece has not come, in bytes.</summary>
    public long UnfinishedBytes => _unfinished.Used;

    /// <summary>What was put together or decompressed and is not appended yet, in bytes.</summary>
    public long WholeBytes => _whole.Used;

    /// <summary>Waits for room for a chunk that is to be appended; it is given back when what is returned is disposed.</summary>
    internal async ValueTask<IDisposable> ChargeWholeAsync(int bytes, CancellationToken cancellationToken)
    {
        await _whole.AcquireAsync(bytes, cancellationToken).ConfigureAwait(false);
        return new Charge(() => _whole.Release(bytes));
    }

    /// <summary>One uplink's share.</summary>
    internal sealed class Share(HubFlow flow)
    {
        private readonly Lock _lock = new();
        private long _bytes;
        private long _unfinished;

        /// <summary>Bytes that have arrived and are not acknowledged.</summary>
        public long Bytes
        {
            get
            {
                lock (_lock)
                    return _bytes;
            }
        }

        public async ValueTask TakeAsync(int bytes, CancellationToken cancellationToken)
        {
            await flow._arrived.AcquireAsync(bytes, cancellationToken).ConfigureAwait(false);
            lock (_lock)
            {
                if (_bytes == 0 && bytes > 0)
                    Interlocked.Increment(ref flow._sending);

                _bytes += bytes;
            }
        }

        public void Return(long bytes)
        {
            lock (_lock)
            {
                if (_bytes > 0 && _bytes == bytes)
                    Interlocked.Decrement(ref flow._sending);

                _bytes -= bytes;
            }

            flow._arrived.Release(bytes);
        }

        /// <summary>
        /// Room for a chunk that comes in pieces, until what is returned is disposed; null where there is none now, or this edge has
        /// as much unfinished as one may have.
        /// </summary>
        public async ValueTask<ChunkRoom?> TryBeginChunkAsync(int bytes, CancellationToken cancellationToken)
        {
            bool isFirst = Volatile.Read(ref _unfinished) == 0;
            if (TryTakeMore(bytes))
                return new ChunkRoom(this, bytes);

            if (!isFirst || !TryCount(bytes))
                return null;

            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(Patience);
            try
            {
                await flow._unfinished.AcquireAsync(bytes, patience.Token).ConfigureAwait(false);
                return new ChunkRoom(this, bytes);
            }
            catch (OperationCanceledException)
            {
                Count(-bytes);
                cancellationToken.ThrowIfCancellationRequested();
                return null;
            }
        }

        /// <summary>Room for a chunk that begins, or more for one that has begun: at once, or not at all.</summary>
        internal bool TryTakeMore(int bytes)
        {
            if (!TryCount(bytes))
                return false;

            if (flow._unfinished.TryAcquire(bytes))
                return true;

            Count(-bytes);
            return false;
        }

        internal void EndChunk(int bytes)
        {
            flow._unfinished.Release(bytes);
            Count(-bytes);
        }

        private bool TryCount(int bytes)
        {
            lock (_lock)
            {
                if (_unfinished + bytes > ChunkCodec.MaxUnfinishedBytes)
                    return false;

                _unfinished += bytes;
                return true;
            }
        }

        private void Count(int bytes)
        {
            lock (_lock)
                _unfinished += bytes;
        }
    }

    /// <summary>
    /// What a chunk that comes in pieces may take, until it is disposed; further disposals do nothing. For one caller at a time.
    /// </summary>
    internal sealed class ChunkRoom(Share share, int bytes) : IDisposable
    {
        public int Bytes { get; private set; } = bytes;

        /// <summary>Makes it larger without waiting for anybody; where there is no room, it stays as it is.</summary>
        public bool TryGrowTo(int bytes)
        {
            if (!share.TryTakeMore(bytes - Bytes))
                return false;

            Bytes = bytes;
            return true;
        }

        public void Dispose()
        {
            share.EndChunk(Bytes);
            Bytes = 0;
        }
    }

    /// <summary>Taken until it is disposed; further disposals do nothing.</summary>
    private sealed class Charge(Action release) : IDisposable
    {
        private Action? _release = release;

        public void Dispose() => Interlocked.Exchange(ref _release, null)?.Invoke();
    }
}
