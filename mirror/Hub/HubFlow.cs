using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Shares the hub's memory among its uplinks: those that send get equal windows, small when all of them come back at once. What
/// has arrived and is not durable yet is bounded for all together; who is beyond waits unread, in order. Safe from any thread.
/// </summary>
public sealed class HubFlow
{
    /// <summary>The most that one edge may have on its way, in bytes.</summary>
    public const int MaxWindowBytes = 4 * 1024 * 1024;

    /// <summary>The least, in bytes: what a slow link needs to stay busy.</summary>
    public const int MinWindowBytes = 32 * 1024;

    private readonly long _totalBytes;
    private readonly ByteBudget _arrived;
    private int _sending;

    /// <param name="totalBytes">What all uplinks together may have on their way, in bytes.</param>
    public HubFlow(long totalBytes = 64 * 1024 * 1024)
    {
        _totalBytes = totalBytes;
        _arrived = new ByteBudget(totalBytes);
    }

    /// <summary>How many bytes each uplink that sends may have on its way right now.</summary>
    public long WindowBytes => Math.Clamp(_totalBytes / Math.Max(1, Volatile.Read(ref _sending)), MinWindowBytes, MaxWindowBytes);

    /// <summary>What has arrived of all uplinks and is not acknowledged, in bytes.</summary>
    public long ArrivedBytes => _arrived.Used;

    /// <summary>One uplink's share.</summary>
    internal sealed class Share(HubFlow flow)
    {
        private readonly Lock _lock = new();
        private long _bytes;

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
    }
}
