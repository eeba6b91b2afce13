namespace EdgeStream.Mirror.Tests;

/// <summary>The machine's clock, but that timers of one length run out when the test says so, and not before.</summary>
internal sealed class HeldTimers(TimeSpan length) : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly HashSet<HeldTimer> _held = [];

    /// <summary>How many run.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _held.Count;
        }
    }

    public void RunOut()
    {
        HeldTimer[] due;
        lock (_lock)
        {
            due = [.. _held];
            _held.Clear();
        }

        foreach (HeldTimer timer in due)
            timer.Fire();
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime != length)
            return base.CreateTimer(callback, state, dueTime, period);

        var timer = new HeldTimer(this, callback, state);
        lock (_lock)
            _held.Add(timer);

        return timer;
    }

    private sealed class HeldTimer(HeldTimers owner, TimerCallback callback, object? state) : ITimer
    {
        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period) => throw new NotSupportedException();

        public void Dispose()
        {
            lock (owner._lock)
                owner._held.Remove(this);
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
