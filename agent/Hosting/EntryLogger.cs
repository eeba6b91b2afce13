namespace EdgeStream.Agent.Hosting;

/// <summary>
/// A logger whose only generic part is the way to the message: native code has a copy of that for each kind of message there is. Scopes
/// are the web server's only, and say nothing of EdgeStream's own words. Safe from any thread.
/// </summary>
internal abstract class EntryLogger : ILogger
{
    public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
            Write(logLevel, formatter(state, exception), state as IEnumerable<KeyValuePair<string, object?>> ?? [], exception);
    }

    /// <param name="level">Not <see cref="LogLevel.None"/>.</param>
    /// <param name="message">As a person reads it.</param>
    /// <param name="values">What the message was made of, by name.</param>
    /// <param name="exception">What it tells of, if anything.</param>
    protected abstract void Write(LogLevel level, string message, IEnumerable<KeyValuePair<string, object?>> values, Exception? exception);
}
