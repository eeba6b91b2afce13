using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;

namespace EdgeStream.Harness;

/// <summary>A real program that a test starts, kills and starts again. Keeps the last lines that it printed.</summary>
public sealed class ChildProcess : IDisposable
{
    private const int KeptLines = 5000;

    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Process _process;

    private ChildProcess(string name, Process process)
    {
        Name = name;
        _process = process;
    }

    public string Name { get; }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    /// <summary>The last lines of standard output and error, in the order they came.</summary>
    public string Output => string.Join('\n', _lines);

    public static ChildProcess Start(string name, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        // In a session of its own: Ctrl-C in the terminal is for the one who started it, and must not reach it too.
        var start = new ProcessStartInfo("setsid") { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        start.ArgumentList.Add(program);
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);

        foreach ((string key, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[key] = value;

        var process = new Process { StartInfo = start };
        var child = new ChildProcess(name, process);
        process.OutputDataReceived += (_, line) => child.Keep(line.Data);
        process.ErrorDataReceived += (_, line) => child.Keep(line.Data);
        process.Start();
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return child;
    }

    /// <summary>The first line that matches, as soon as it is printed.</summary>
    public async Task<Match> WaitForLineAsync(string pattern, TimeSpan? deadline = null)
    {
        Match? match = null;
        await Condition.WaitAsync(
            () => $"{Name} prints '{pattern}'; it printed:\n{Output}",
            () =>
            {
                match = _lines.Select(line => Regex.Match(line, pattern)).FirstOrDefault(found => found.Success);
                if (match is null && HasExited)
                    throw new InvalidOperationException($"{Name} ended with code {ExitCode}:\n{Output}");

                return Task.FromResult(match is not null);
            },
            deadline).ConfigureAwait(false);
        return match!;
    }

    /// <summary>SIGKILL: as the kernel does it when memory is short, without a word.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    /// <summary>Any signal by its name, for instance TERM, STOP or CONT.</summary>
    public void Signal(string signal)
    {
        using Process kill = Process.Start("kill", [$"-{signal}", $"{Id}"]);
        kill.WaitForExit();
    }

    /// <summary>SIGTERM, and waits for the orderly end.</summary>
    public async Task<int> StopAsync(TimeSpan? deadline = null)
    {
        Signal("TERM");
        using var limit = new CancellationTokenSource(deadline ?? TimeSpan.FromSeconds(30));
        try
        {
            await _process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"{Name} does not end on SIGTERM; it printed:\n{Output}");
        }

        return ExitCode;
    }

    public void Dispose()
    {
        try
        {
            if (!_process.HasExited)
                Kill();
        }
        catch (InvalidOperationException)
        {
            // Never started, or gone this moment.
        }

        _process.Dispose();
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;

        _lines.Enqueue(line);
        while (_lines.Count > KeptLines)
            _lines.TryDequeue(out _);
    }
}
