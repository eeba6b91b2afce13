using EdgeStream.Mirror.Uplink;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

/// <summary>A link of some rate and round trip in simulated time, with a queue in front of it that never drops: a sender's worst.</summary>
internal sealed class SimulatedLink
{
    private readonly FakeTimeProvider _time = new();
    private readonly Queue<(double Arrives, int Bytes)> _underWay = new();
    private double _freeAt;
    private double _now;

    public SimulatedLink() => Window = new FlowWindow(_time);

    public FlowWindow Window { get; }

    public double BytesPerSecond { get; set; }

    public double RoundTripSeconds { get; set; }

    public long Delivered { get; private set; }

    /// <summary>The longest that anything put on the link would have waited behind what was there, in seconds.</summary>
    public double LongestQueue { get; private set; }

    /// <summary>Sends all that the window lets through for a while.</summary>
    /// <param name="seconds">For how long.</param>
    public void Run(double seconds)
    {
        double end = _now + seconds;
        while (_now < end)
        {
            while (Window.HasRoom)
                Send(Window.PieceBytes);

            (double arrives, int bytes) = _underWay.Dequeue();
            Advance(arrives);
            Delivered += bytes;
            if (!Window.TryAcknowledge(bytes))
                throw new InvalidOperationException("the window does not know what it has sent");
        }
    }

    private void Send(int bytes)
    {
        Window.Sent(bytes);
        _freeAt = Math.Max(_freeAt, _now) + (bytes / BytesPerSecond);
        LongestQueue = Math.Max(LongestQueue, _freeAt - _now);
        _underWay.Enqueue((_freeAt + RoundTripSeconds, bytes));
    }

    private void Advance(double to)
    {
        if (to <= _now)
            return;

        _time.Advance(TimeSpan.FromSeconds(to - _now));
        _now = to;
    }
}
