using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices;

/// <summary>
/// Lets so many warnings through and no more: what a device, a program or a broker does wrong, it may do wrong thousands of times, and
/// must not fill the disk with it. Counters have all of them. Safe from any thread.
/// </summary>
/// <param name="name">Whose warnings they are.</param>
/// <param name="time">The clock.</param>
/// <param name="inner">Where they go.</param>
internal sealed class BoundedLogger(string name, TimeProvider time, ILogger inner) : ILogger
{
    private readonly Lock _lock = new();
    private readonly TokenBucket _bucket = new(new RateLimit(10, TimeSpan.FromMinutes(1)));
    private long _leftOut;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => inner.BeginScope(state);

    public bool IsEnabled(LogLevel logLevel) => inner.IsEnabled(logLevel);

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (logLevel == LogLevel.Warning && !TryTake())
            return;

        inner.Log(logLevel, eventId, state, exception, formatter);
    }

    private bool TryTake()
    {
        long leftOut;
        lock (_lock)
        {
            if (!_bucket.TryTake(time.GetElapsedTime(0)))
            {
                _leftOut++;
                return false;
            }

            (leftOut, _leftOut) = (_leftOut, 0);
        }

        if (leftOut > 0)
            inner.LogWarning("{Name}: {Count} lines like the last ones were left out", name, leftOut);

        return true;
    }
}
