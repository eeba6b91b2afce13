using System.Globalization;
using Microsoft.Extensions.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting.Systemd;

/// <summary>
/// Tells systemd how the node is: a line for <c>systemctl status</c> where it has changed, and, as long as the logs move, that its
/// watchdog need not bite. To be offline or to have a full disk is no reason to be killed; a write that does not end is.
/// </summary>
internal sealed class ServiceReport : IAsyncDisposable
{
    private static readonly TimeSpan LongestInterval = TimeSpan.FromSeconds(10);

    private readonly ISystemdNotifier _notifier;
    private readonly Func<string> _summary;
    private readonly Func<TimeSpan> _busyFor;
    private readonly TimeSpan? _watchdog;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;
    private string? _told;
    private bool _stuck;

    private ServiceReport(ISystemdNotifier notifier, Func<string> summary, Func<TimeSpan> busyFor, TimeSpan? watchdog, ILogger logger)
    {
        (_notifier, _summary, _busyFor, _watchdog, _logger) = (notifier, summary, busyFor, watchdog, logger);
        _running = RunAsync();
    }

    /// <summary>Null where the program is no service of systemd.</summary>
    /// <param name="services">May have systemd's notifier.</param>
    /// <param name="summary">The node in a few words.</param>
    /// <param name="busyFor">How long the write that takes longest has been going on.</param>
    /// <param name="logger">Told when the watchdog is left hungry.</param>
    public static ServiceReport? Start(IServiceProvider services, Func<string> summary, Func<TimeSpan> busyFor, ILogger logger) =>
        services.GetService<ISystemdNotifier>() is { IsEnabled: true } notifier
            ? new ServiceReport(notifier, summary, busyFor, WatchdogTime(), logger)
            : null;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    /// <summary>Null where the unit has no watchdog. The variable is passed on to child processes, whom it does not concern.</summary>
    private static TimeSpan? WatchdogTime()
    {
        string? process = Environment.GetEnvironmentVariable("WATCHDOG_PID");
        bool isMine = process is null || process == Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        return isMine && long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), CultureInfo.InvariantCulture, out long time) && time > 0
            ? TimeSpan.FromMicroseconds(time)
            : null;
    }

    // On the thread pool, like all that matters: were the pool stuck, the watchdog should bite too.
    private async Task RunAsync()
    {
        TimeSpan interval = _watchdog / 3 is { } third && third < LongestInterval ? third : LongestInterval;
        using var timer = new PeriodicTimer(interval);
        do
        {
            TellSummary();
            FeedWatchdog();
        }
        while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false));
    }

    private void TellSummary()
    {
        string summary = _summary();
        if (summary == _told)
            return;

        _notifier.Notify(new ServiceState($"STATUS={summary}"));
        _told = summary;
    }

    private void FeedWatchdog()
    {
        if (_watchdog is not { } time)
            return;

        // With what is left of its time the watchdog still bites before it is out twice.
        TimeSpan busy = _busyFor();
        bool stuck = busy > time / 2;
        if (!stuck)
            _notifier.Notify(new ServiceState("WATCHDOG=1"));
        else if (!_stuck)
            _logger.LogCritical("a write has not ended for {Seconds} s; the watchdog is not fed any more", (int)busy.TotalSeconds);

        _stuck = stuck;
    }
}
