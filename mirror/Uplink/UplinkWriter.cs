using Grpc.Core;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// The one way out of an uplink: gives turns to write, one at a time, the most urgent first. A turn for data comes only when
/// the window and the limits let it, so what waits, waits here and not in the link's buffers. Safe from any thread.
/// </summary>
/// <param name="stream">Where it goes.</param>
/// <param name="window">What bounds the data on its way.</param>
/// <param name="limit">How long data should wait before it asks again; zero where it may go.</param>
/// <param name="time">For waiting.</param>
/// <param name="sessionEnds">
/// Ends writes that have begun. Nothing smaller may: a write that is given up takes the whole stream with it.
/// </param>
internal sealed class UplinkWriter(
    IClientStreamWriter<V1.EdgeMessage> stream, FlowWindow window, Func<TimeSpan> limit, TimeProvider time, CancellationToken sessionEnds)
{
    /// <summary>Goes before all data, and needs no room in the window: small messages on which others wait.</summary>
    private const int ControlPriority = int.MaxValue;

    // The longest that a limit is believed before it is asked again: the clock that it goes by may have been set.
    private static readonly TimeSpan MaxLimitWait = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly PriorityQueue<Waiter, (int Priority, long Order)> _waiting = new();
    private long _order;
    private bool _taken;
    private bool _limitTimerSet;

    private sealed record Waiter(TaskCompletionSource<Turn> Turn, int Priority);

    /// <summary>Waits for a turn to send data; who gets one prepares what goes, sends it, and disposes the turn.</summary>
    /// <param name="priority">The larger goes first; of equal ones, who waits longest.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public Task<Turn> WaitForTurnAsync(int priority, CancellationToken cancellationToken) => QueueAsync(priority, cancellationToken);

    /// <summary>Sends a small message ahead of all data.</summary>
    public async Task SendControlAsync(V1.EdgeMessage message, CancellationToken cancellationToken)
    {
        using Turn turn = await QueueAsync(ControlPriority, cancellationToken).ConfigureAwait(false);
        await turn.SendAsync(message).ConfigureAwait(false);
    }

    /// <summary>To be called when the window may have become larger: after acknowledgements and grants.</summary>
    public void Wake()
    {
        lock (_lock)
            GiveTurn();
    }

    private async Task<Turn> QueueAsync(int priority, CancellationToken cancellationToken)
    {
        var waiter = new Waiter(new TaskCompletionSource<Turn>(TaskCreationOptions.RunContinuationsAsynchronously), priority);
        lock (_lock)
        {
            _waiting.Enqueue(waiter, (-priority, _order++));
            GiveTurn();
        }

        // One that was cancelled stays in the queue until its turn comes, and is passed over then.
        using CancellationTokenRegistration registration = cancellationToken.Register(() =>
        {
            if (waiter.Turn.TrySetCanceled(cancellationToken))
                Wake();
        });
        return await waiter.Turn.Task.ConfigureAwait(false);
    }

    private void GiveTurn()
    {
        while (!_taken && _waiting.TryPeek(out Waiter? next, out _))
        {
            if (!next.Turn.Task.IsCompleted && next.Priority != ControlPriority && !MayData())
                return;

            _waiting.Dequeue();
            _taken = next.Turn.TrySetResult(new Turn(this));
        }
    }

    private bool MayData()
    {
        if (!window.HasRoom)
            return false;

        TimeSpan wait = limit();
        if (wait <= TimeSpan.Zero)
            return true;

        if (!_limitTimerSet)
        {
            _limitTimerSet = true;
            _ = WakeLaterAsync(wait < MaxLimitWait ? wait : MaxLimitWait);
        }

        return false;
    }

    private async Task WakeLaterAsync(TimeSpan wait)
    {
        await Task.Delay(wait, time).ConfigureAwait(false);
        lock (_lock)
        {
            _limitTimerSet = false;
            GiveTurn();
        }
    }

    private void EndTurn()
    {
        lock (_lock)
        {
            _taken = false;
            GiveTurn();
        }
    }

    /// <summary>The right to write to the stream, for one owner until it is disposed.</summary>
    public sealed class Turn(UplinkWriter writer) : IDisposable
    {
        private bool _ended;

        /// <summary>Sends a message that needs no credit.</summary>
        public Task SendAsync(V1.EdgeMessage message) => writer.WriteAsync(message);

        /// <summary>Sends a piece of a chunk, which is on its way until the hub acknowledges it.</summary>
        public Task SendPieceAsync(V1.Chunk piece)
        {
            writer.CountPiece(piece.Data.Length);
            return writer.WriteAsync(new V1.EdgeMessage { Chunk = piece });
        }

        /// <summary>Sends a gap, which is on its way like a piece.</summary>
        public Task SendGapAsync(V1.MirrorGap gap)
        {
            writer.CountGap();
            return writer.WriteAsync(new V1.EdgeMessage { Gap = gap });
        }

        public void Dispose()
        {
            if (_ended)
                return;

            _ended = true;
            writer.EndTurn();
        }
    }

    private Task WriteAsync(V1.EdgeMessage message) => stream.WriteAsync(message, sessionEnds);

    private void CountPiece(int bytes) => window.Sent(bytes);

    private void CountGap() => window.SentGap();
}
