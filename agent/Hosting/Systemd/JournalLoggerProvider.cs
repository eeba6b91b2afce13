using System.Collections.Concurrent;
using System.Globalization;

namespace EdgeStream.Agent.Hosting.Systemd;

/// <summary>Log lines as entries of the journal: with its levels, and a field for each value that a message names.</summary>
internal sealed class JournalLoggerProvider(Journal journal) : ILoggerProvider
{
    private readonly ConcurrentDictionary<string, JournalLogger> _loggers = new(StringComparer.Ordinal);

    public ILogger CreateLogger(string categoryName) => _loggers.GetOrAdd(categoryName, name => new JournalLogger(journal, name));

    public void Dispose() => journal.Dispose();

    private sealed class JournalLogger(Journal journal, string category) : EntryLogger
    {
        // What the message itself was made of, beside its values.
        private const string Format = "{OriginalFormat}";

        protected override void Write(LogLevel level, string message, IEnumerable<KeyValuePair<string, object?>> values, Exception? exception)
        {
            List<KeyValuePair<string, string>> fields =
            [
                new("MESSAGE", exception is null ? message : $"{message}: {exception}"),
                new("PRIORITY", Syslog.Severity(level).ToString(CultureInfo.InvariantCulture)),
                new("SYSLOG_IDENTIFIER", "edgestream"),
                new("EDGESTREAM_LOGGER", category),
            ];
            foreach ((string name, object? value) in values)
            {
                if (name != Format && name.All(char.IsAsciiLetterOrDigit))
                    fields.Add(new($"EDGESTREAM_{name.ToUpperInvariant()}", Convert.ToString(value, CultureInfo.InvariantCulture) ?? ""));
            }

            journal.Write(fields);
        }
    }
}
