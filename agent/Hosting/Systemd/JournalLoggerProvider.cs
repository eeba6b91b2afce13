using System.Collections.Concurrent;
using System.Globalization;

namespace EdgeStream.Agent.Hosting.Systemd;

/// <summary>Log lines as entries of the journal: with its levels, and a field for each value that a message names.</summary>
internal sealed class JournalLoggerProvider(Journal journal) : ILoggerProvider
{
    private readonly ConcurrentDictionary<string, JournalLogger> _loggers = new(StringComparer.Ordinal);

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, name => new JournalLogger(journal, name));

    public void Dispose() => journal.Dispose();

    private sealed class JournalLogger(Journal journal, string category) : ILogger
    {
        // What the message itself was made of, beside its values.
        private const string Format = "{OriginalFormat}";

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        // Scopes are the web server's only, and say nothing of EdgeStream's own words.
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!IsEnabled(logLevel))
                return;

            string message = formatter(state, exception);
            List<KeyValuePair<string, string>> fields =
            [
                new("MESSAGE", exception is null ? message : $"{message}: {exception}"),
                new("PRIORITY", Priority(logLevel)),
                new("SYSLOG_IDENTIFIER", "edgestream"),
                new("EDGESTREAM_LOGGER", category),
            ];
            foreach ((string name, object? value) in state as IEnumerable<KeyValuePair<string, object?>> ?? [])
            {
                if (name != Format && name.All(char.IsAsciiLetterOrDigit))
                    fields.Add(new($"EDGESTREAM_{name.ToUpperInvariant()}", Convert.ToString(value, CultureInfo.InvariantCulture) ?? ""));
            }

            journal.Write(fields);
        }

        /// <summary>syslog(3).</summary>
        private static string Priority(LogLevel level) => level switch
        {
            LogLevel.Critical => "2",
            LogLevel.Error => "3",
            LogLevel.Warning => "4",
            LogLevel.Information => "6",
            _ => "7",
        };
    }
}
