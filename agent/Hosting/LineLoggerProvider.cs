using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using EdgeStream.Agent.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// One line an event, printed before the call that logs it returns (ADR 41 has why this is not the library's console logger). Safe from any
/// thread.
/// </summary>
/// <param name="output">Where the lines go, each by one write; stays the caller's.</param>
/// <param name="time">The clock that they show.</param>
/// <param name="forJournal">
/// They begin with the level as syslog numbers it (sd-daemon(3)), for a journal that reads what is printed and knows the time itself.
/// </param>
internal sealed class LineLoggerProvider(TextWriter output, TimeProvider time, bool forJournal) : ILoggerProvider
{
    private readonly ConcurrentDictionary<string, LineLogger> _loggers = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, name => new LineLogger(this, name));

    public void Dispose()
    {
    }

    private void Print(LogLevel level, string category, string message, Exception? exception)
    {
        var line = new StringBuilder();
        if (forJournal)
            line.Append(CultureInfo.InvariantCulture, $"<{Syslog.Severity(level)}>{category}: ");
        else
            line.Append(CultureInfo.InvariantCulture, $"{time.GetUtcNow():HH:mm:ss.fff} {Word(level)}: {category}: ");

        line.Append(message);
        if (exception is not null)
            line.Append(": ").Append(exception);

        line.Replace(Environment.NewLine, " ").AppendLine();
        lock (_lock)
        {
            try
            {
                output.Write(line.ToString());
            }
            catch (IOException)
            {
                // The disk that the lines go to is full, say. The node is not to end for that.
            }
        }
    }

    private static string Word(LogLevel level) => level switch
    {
        LogLevel.Critical => "crit",
        LogLevel.Error => "fail",
        LogLevel.Warning => "warn",
        LogLevel.Information => "info",
        _ => "dbug",
    };

    private sealed class LineLogger(LineLoggerProvider lines, string category) : EntryLogger
    {
        protected override void Write(
            LogLevel level, string message, IEnumerable<KeyValuePair<string, object?>> values, Exception? exception) =>
            lines.Print(level, category, message, exception);
    }
}
