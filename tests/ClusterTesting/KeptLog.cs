using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace EdgeStream.ClusterTesting;

/// <summary>Keeps the lines that are logged.</summary>
public class KeptLog : ILogger
{
    private readonly ConcurrentQueue<string> _lines = new();

    public IReadOnlyList<string> Lines => [.. _lines];

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue(formatter(state, exception));
}

/// <summary>As <see cref="KeptLog"/>, for who asks for the logger of a class.</summary>
public sealed class KeptLog<T> : KeptLog, ILogger<T>;
