using System.Text;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Commands;

/// <summary>Brings into the log what a program complains about.</summary>
internal sealed class ErrorOutput(string name, TimeProvider time, ILogger logger)
{
    private const int MaxLineBytes = 1024;

    private readonly BoundedLogger _log = new(name, time, logger);

    /// <summary>The last line, for a message; null where there was none.</summary>
    public string? Last { get; private set; }

    /// <summary>Reads to the end.</summary>
    public async Task ReadAsync(Stream stream)
    {
        var reader = new LineReader(stream, MaxLineBytes);
        Last = null;
        while (!reader.IsAtEnd)
        {
            foreach (ReadOnlyMemory<byte> line in await reader.ReadAsync(CancellationToken.None).ConfigureAwait(false))
                Take(string.Concat(Encoding.UTF8.GetString(line.Span).Select(c => char.IsControl(c) ? ' ' : c)).Trim());
        }
    }

    private void Take(string line)
    {
        Last = line;
        _log.LogWarning("{Name}: {Line}", name, line);
    }
}
