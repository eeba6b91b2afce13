using EdgeStream.Devices;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// The sources of a node, or its sinks. Each has a supervisor of its own, so that a new configuration stops and starts those whose
/// settings are others, and no more. Statuses can be read from any thread.
/// </summary>
internal sealed class DeviceSet(string kind, TimeProvider time, ILogger<SourceSupervisor> logger) : IAsyncDisposable
{
    private readonly SemaphoreSlim _changing = new(1);

    // Replaced as a whole, under the semaphore.
    private volatile IReadOnlyList<Running> _running = [];
    private bool _stopped;

    private sealed record Running(object Settings, ISupervised Device, SourceSupervisor Supervisor);

    public IReadOnlyList<SourceStatus> Statuses => [.. _running.SelectMany(device => device.Supervisor.Statuses)];

    /// <summary>
    /// Stops what is wanted no more, then starts what is new: it may want the same port or line. Order as wanted. Does nothing once
    /// disposed.
    /// </summary>
    /// <param name="wanted">All that is to run.</param>
    /// <param name="starting">Told all devices before the new ones run.</param>
    /// <returns>How many were stopped, and how many started.</returns>
    public async Task<(int Stopped, int Started)> ReplaceAsync(
        IReadOnlyList<ConfiguredDevice> wanted, Action<IEnumerable<ISupervised>>? starting = null)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_stopped)
                return default;

            List<Running> before = [.. _running];
            List<Running> after = [], made = [];
            foreach (ConfiguredDevice device in wanted)
            {
                int same = before.FindIndex(running => running.Settings.Equals(device.Settings));
                if (same >= 0)
                {
                    after.Add(before[same]);
                    before.RemoveAt(same);
                    continue;
                }

                ISupervised source = device.Make();
                var running = new Running(device.Settings, source, new SourceSupervisor([source], time, logger, kind));
                made.Add(running);
                after.Add(running);
            }

            await StopAsync(before).ConfigureAwait(false);
            starting?.Invoke(after.Select(running => running.Device));
            _running = after;
            foreach (Running running in made)
                running.Supervisor.Start();

            return (before.Count, made.Count);
        }
        finally
        {
            _changing.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        _stopped = true;
        _changing.Release();
        await StopAsync(_running).ConfigureAwait(false);
    }

    /// <summary>Side by side: each may take a while to get stored what is on its way.</summary>
    private static Task StopAsync(IEnumerable<Running> devices) =>
        Task.WhenAll(devices.Select(device => device.Supervisor.DisposeAsync().AsTask()));
}
