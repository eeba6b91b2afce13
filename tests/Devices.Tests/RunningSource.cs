using EdgeStream.Harness;

namespace EdgeStream.Devices.Tests;

/// <summary>One run of a source or sink, ended with the test.</summary>
internal sealed class RunningSource : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _run;

    private RunningSource(ISupervised source, TaskCompletionSource running) =>
        _run = Task.Run(() => source.RunAsync(() => running.TrySetResult(), _stop.Token));

    /// <summary>How the run ended; waits for it.</summary>
    public Task Ended => _run;

    /// <summary>Starts a run and waits until the source says that it works.</summary>
    public static async Task<RunningSource> StartAsync(ISupervised source)
    {
        var running = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var run = new RunningSource(source, running);
        Task first = await Task.WhenAny(running.Task, run._run).WaitAsync(TimeSpan.FromSeconds(30));
        await first;
        return run;
    }

    public Task StopAsync()
    {
        _stop.Cancel();
        return _run;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _run.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }
}
