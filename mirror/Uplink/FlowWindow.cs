namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// How many bytes may be on their way to the hub at once: as many as the link carries in a round trip and one second more. So
/// a long link is filled, and on a slow one nothing ever waits behind more than a second or two of data. Safe from any thread.
/// </summary>
/// <remarks>
/// The link's rate and round trip are measured from acknowledgements, as BBR does (Cardwell et al., "BBR: Congestion-Based
/// Congestion Control", ACM Queue 14(5), 2016): the rate is the largest number of bytes acknowledged in a round trip of late,
/// the round trip the shortest one of this connection. TCP below decides when packets go; this decides how much it is given.
/// </remarks>
/// <param name="time">Its monotonic clock is used.</param>
/// <param name="bytesPerSecond">What the link may carry at most, whatever it could; null where nothing but the link bounds it.</param>
internal sealed class FlowWindow(TimeProvider time, long? bytesPerSecond = null)
{
    /// <summary>What is sent before anything is known, in bytes: 1.3 s at 50 kbit/s.</summary>
    public const int InitialBytes = 8 * 1024;

    /// <summary>The least that may be on its way, in bytes: less, and headers would be most of it.</summary>
    public const int MinBytes = 4 * 1024;

    /// <summary>What a gap counts for, in bytes: about what it is on the wire.</summary>
    public const int GapBytes = 128;

    private static readonly TimeSpan Queueing = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RateMemory = TimeSpan.FromSeconds(10);

    // A pause that long may mean another link; what the hub grants counts as used up, too.
    private static readonly TimeSpan IdleReset = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly Queue<Flight> _flights = new();
    private readonly LinkedList<(long At, double Rate)> _rates = new();
    private long _sent;
    private long _acknowledged;
    private long _granted = InitialBytes;
    private long _lastActivity;
    private TimeSpan _roundTrip = TimeSpan.MaxValue;

    private readonly record struct Flight(long SentAt, int Bytes, long AcknowledgedBefore, bool LinkWasBusy, bool IsGap);

    /// <summary>Bytes that were sent and are not acknowledged.</summary>
    public long InFlight
    {
        get
        {
            lock (_lock)
                return _sent - _acknowledged;
        }
    }

    /// <summary>What the link carries, in bytes a second; 0 where it is not known yet.</summary>
    public double Rate
    {
        get
        {
            lock (_lock)
                return _rates.First is { } best ? Allowed(best.Value.Rate) : 0;
        }
    }

    /// <summary>The shortest round trip seen; null where none was.</summary>
    public TimeSpan? RoundTrip
    {
        get
        {
            lock (_lock)
                return _roundTrip == TimeSpan.MaxValue ? null : _roundTrip;
        }
    }

    /// <summary>How many bytes may be on their way right now.</summary>
    public long Size
    {
        get
        {
            lock (_lock)
                return SizeLocked();
        }
    }

    /// <summary>
    /// How much to send in one piece, in bytes: a quarter of the window, so that acknowledgements keep coming and something
    /// more urgent never waits for long.
    /// </summary>
    public int PieceBytes => (int)Math.Clamp(Size / 4, 1024, 128 * 1024);

    /// <summary>Whether a piece may go now.</summary>
    public bool HasRoom
    {
        get
        {
            lock (_lock)
                return _sent == _acknowledged || _sent - _acknowledged < SizeLocked();
        }
    }

    /// <summary>The hub's part of the decision: how many bytes it lets this edge have on their way.</summary>
    public void Grant(long bytes)
    {
        lock (_lock)
            _granted = Math.Max(MinBytes, bytes);
    }

    /// <summary>A piece is on its way.</summary>
    public void Sent(int bytes) => Sent(bytes, isGap: false);

    /// <summary>A gap is.</summary>
    public void SentGap() => Sent(GapBytes, isGap: true);

    private void Sent(int bytes, bool isGap)
    {
        lock (_lock)
        {
            long now = time.GetTimestamp();
            bool wasIdle = _sent == _acknowledged;
            if (wasIdle && _lastActivity != 0 && time.GetElapsedTime(_lastActivity, now) > IdleReset)
                _granted = Math.Min(_granted, InitialBytes);

            _flights.Enqueue(new Flight(now, bytes, _acknowledged, !wasIdle, isGap));
            _sent += bytes;
            _lastActivity = now;
        }
    }

    /// <summary>The hub has taken the oldest piece or gap that was on its way.</summary>
    /// <param name="bytes">The piece's size, as the hub counted it; 0 for a gap.</param>
    /// <returns>False where nothing of that size was on its way: the hub does not speak the protocol.</returns>
    public bool TryAcknowledge(int bytes)
    {
        lock (_lock)
        {
            // An older hub says nothing of the gaps of a topic that it has refused meanwhile.
            while (bytes > 0 && _flights.TryPeek(out Flight passedOver) && passedOver.IsGap)
                _acknowledged += _flights.Dequeue().Bytes;

            if (!_flights.TryDequeue(out Flight flight) || (flight.IsGap ? bytes != 0 : flight.Bytes != bytes))
                return false;

            long now = time.GetTimestamp();
            _acknowledged += flight.Bytes;
            _lastActivity = now;
            TimeSpan elapsed = time.GetElapsedTime(flight.SentAt, now);
            if (elapsed < _roundTrip)
                _roundTrip = elapsed;

            NoteRate(now, (_acknowledged - flight.AcknowledgedBefore) / Math.Max(elapsed.TotalSeconds, 1e-6), flight.LinkWasBusy);
            return true;
        }
    }

    private long SizeLocked()
    {
        if (_rates.First is not { } best)
            return Math.Min(InitialBytes, _granted);

        double bytes = Allowed(best.Value.Rate) * (_roundTrip + Queueing).TotalSeconds;
        return Math.Clamp((long)Math.Min(bytes, int.MaxValue), Math.Min(MinBytes, _granted), _granted);
    }

    // Pieces are of the size that suits what may go, or one of them would use up seconds of it.
    private double Allowed(double rate) => Math.Min(rate, bytesPerSecond ?? rate);

    /// <summary>Keeps the samples that may still become the largest, in falling order.</summary>
    private void NoteRate(long now, double rate, bool linkWasBusy)
    {
        // A lone piece says little of what the link could carry; it counts only where it shows more than was known.
        if (!linkWasBusy && _rates.First is { } known && rate < known.Value.Rate)
            return;

        while (_rates.Last is { } smaller && smaller.Value.Rate <= rate)
            _rates.RemoveLast();

        _rates.AddLast((now, rate));
        while (_rates.Count > 1 && time.GetElapsedTime(_rates.First!.Value.At, now) > RateMemory)
            _rates.RemoveFirst();
    }
}
