using System.Diagnostics;
using EdgeStream.PowerCut.Writer;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

/// <summary>A writer as a process of its own, and what it has reported. For one thread at a time.</summary>
internal sealed class WriterProcess : IDisposable
{
    private readonly Process _process;
    private readonly List<string> _lines = [];
    private readonly List<Acknowledgement> _acknowledged = [];

    private WriterProcess(WriterOptions options, Process process)
    {
        Options = options;
        _process = process;
    }

    public WriterOptions Options { get; }

    /// <summary>All that was read of its report so far.</summary>
    public IReadOnlyList<string> Lines => _lines;

    /// <summary>The acknowledgements among them.</summary>
    public IReadOnlyList<Acknowledgement> Acknowledged => _acknowledged;

    /// <summary>Starts the program, which then waits for <see cref="Begin"/>: so one can be started while another one writes.</summary>
    /// <param name="options">What it does.</param>
    /// <param name="under">A program and its arguments that runs it; itself where there is none.</param>
    public static WriterProcess Start(WriterOptions options, IReadOnlyList<string>? under = null)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "EdgeStream.PowerCut.Writer");
        string[] command = [.. under ?? [], program, .. options.ToArguments()];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true, RedirectStandardOutput = true };

        // Its debugging socket would be left behind each time that it is killed.
        start.Environment["DOTNET_EnableDiagnostics"] = "0";
        if (under is not null)
        {
            // strace counts the calls of each thread, so all are made by one.
            start.Environment["DOTNET_ThreadPool_ForceMaxWorkerThreads"] = "1";
        }

        return new WriterProcess(options, Process.Start(start)!);
    }

    /// <summary>Lets it open its log and write.</summary>
    public void Begin()
    {
        _process.StandardInput.WriteLine();
        _process.StandardInput.Flush();
    }

    /// <summary>Waits until it has reported this line.</summary>
    public Task WaitForAsync(string line) => ReadUntilAsync(() => _lines.Contains(line));

    /// <summary>Waits until so many batches were acknowledged.</summary>
    public Task WaitForAcknowledgementsAsync(int count) => ReadUntilAsync(() => _acknowledged.Count >= count);

    /// <summary>Waits until it has ended by itself, and reads the rest of its report.</summary>
    public async Task<int> EndAsync()
    {
        await ReadUntilAsync(() => false, endIsFine: true);
        await _process.WaitForExitAsync().InTimeAsync();
        return _process.ExitCode;
    }

    /// <summary>SIGKILL, and reads what it had still reported.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await EndAsync();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();

        _process.Dispose();
    }

    private async Task ReadUntilAsync(Func<bool> enough, bool endIsFine = false)
    {
        while (!enough())
        {
            string? line = await _process.StandardOutput.ReadLineAsync().InTimeAsync();
            if (line is null)
            {
                if (endIsFine)
                    return;

                throw new InvalidOperationException($"the writer has ended; it reported:\n{string.Join('\n', _lines.TakeLast(20))}");
            }

            _lines.Add(line);
            if (Acknowledgement.TryParse(line) is { } acknowledged)
                _acknowledged.Add(acknowledged);
        }
    }
}
