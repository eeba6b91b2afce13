using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices;

/// <summary>
/// Runs sources side by side, or sinks. One that fails is reported and run again after a jittered, growing pause; the others do not
/// notice.
/// </summary>
/// <param name="sources">What is run.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told what runs and what waits.</param>
/// <param name="kind">What the log calls them.</param>
public sealed class SourceSupervisor(
    IReadOnlyList<ISupervised> sources, TimeProvider time, ILogger<SourceSupervisor> logger, string kind = "source")
    : IAsyncDisposable
{
    private static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(30);

    // One that has not lasted so long fails again and again, whatever it did in between, and the pause grows.
    private static readonly TimeSpan Lasting = TimeSpan.FromSeconds(2);

    private readonly Supervised[] _supervised = [.. sources.Select(source => new Supervised(source))];
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;
    private int _disposed;

    private sealed class Supervised(ISupervised source)
    {
        public ISupervised Source => source;

        public volatile string? Error;
        public volatile SourceState State = SourceState.Starting;
    }

    /// <summary>All sources, in the order they were given. Safe from any thread.</summary>
    public IReadOnlyList<SourceStatus> Statuses => [.. _supervised.Select(StatusOf)];

    public void Start() => _running = Task.WhenAll(_supervised.Select(source => Task.Run(() => SuperviseAsync(source))));

    /// <summary>Stops all sources: each takes nothing new and lets what is on its way be stored.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private static SourceStatus StatusOf(Supervised supervised)
    {
        SourceCounters counters = supervised.Source.Counters;
        SourceState state = supervised.State;
        Shortfall? shortfall = state == SourceState.Running ? supervised.Source.Shortfall : null;
        string? present = supervised.Error ?? shortfall?.Problems[0];
        (string? past, TimeSpan? age) = present is null ? counters.LastFault : default;
        return new SourceStatus(
            supervised.Source.Name,
            state,
            present ?? past,
            age,
            shortfall,
            counters.Received,
            counters.Stored,
            counters.Incomplete,
            [.. DropReasons.All.Select(reason => (reason, counters.DroppedFor(reason))).Where(drops => drops.Item2 > 0)]);
    }

    private async Task SuperviseAsync(Supervised supervised)
    {
        TimeSpan pause = TimeSpan.Zero;
        while (!_stop.IsCancellationRequested)
        {
            long? runningSince = null;
            try
            {
                await supervised.Source.RunAsync(Running, _stop.Token).ConfigureAwait(false);
                if (!_stop.IsCancellationRequested)
                    throw new InvalidOperationException($"the {kind} ended by itself");
            }
            catch (Exception) when (_stop.IsCancellationRequested)
            {
                // Stopping; what it complains about is that.
            }
            catch (Exception error)
            {
                bool lasted = runningSince is { } since && time.GetElapsedTime(since) >= Lasting;
                pause = lasted ? MinPause : TimeSpan.FromTicks(Math.Clamp(pause.Ticks * 2, MinPause.Ticks, MaxPause.Ticks));
                Failed(supervised, error);
                await PauseAsync(pause).ConfigureAwait(false);
            }

            void Running()
            {
                runningSince = time.GetTimestamp();
                supervised.Error = null;
                supervised.State = SourceState.Running;
                logger.LogInformation("{Kind} {Name} runs", kind, supervised.Source.Name);
            }
        }

        supervised.State = SourceState.Stopped;
    }

    private void Failed(Supervised supervised, Exception error)
    {
        // One that stays away is told once, not at each attempt.
        if (supervised.Error != error.Message)
            logger.LogWarning("{Kind} {Name} waits: {Problem}; it is tried again", kind, supervised.Source.Name, error.Message);

        // In this order: who sees that it waits sees why.
        supervised.Error = error.Message;
        supervised.State = SourceState.Waiting;
    }

    /// <summary>Between half and the whole, so that many devices do not come back at once.</summary>
    private async Task PauseAsync(TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause * (0.5 + (Random.Shared.NextDouble() / 2)), time, _stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
    }
}
