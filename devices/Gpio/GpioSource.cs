using System.Device.Gpio;
using System.Globalization;
using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// Records what happens on one input line: its changes, or its level at an interval. A record's value is JSON,
/// <c>{"line":17,"value":1,"edge":"rising"}</c>.
/// </summary>
/// <param name="chipName">What people call the chip.</param>
/// <param name="openDriver">Opens the chip; called at each run, and the result disposed at its end.</param>
/// <param name="options">The line.</param>
/// <param name="sink">Where the records go.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told what is dropped.</param>
public sealed class GpioSource(
    string chipName, Func<GpioDriver> openDriver, GpioLineOptions options, IRecordSink sink, TimeProvider time, ILogger<GpioSource> logger)
    : ISource
{
    /// <summary>Changes that wait for the log. Beyond that they are lost, and counted: the kernel's own queue is shorter still.</summary>
    internal const int MaxWaiting = 4096;

    // How long what has come in before a stop may take to be stored.
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);

    private readonly byte[] _key = Encoding.UTF8.GetBytes(options.Key ?? options.Line.ToString(CultureInfo.InvariantCulture));

    private readonly record struct LevelChange(bool Level, TimeSpan Now, DateTimeOffset At);

    public string Name { get; } = $"gpio {chipName}/{options.Validated().Line}";

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using var controller = new GpioController(openDriver());
        OpenLine(controller);
        if (options.Poll is { } interval)
            await PollAsync(controller, interval, running, cancellationToken).ConfigureAwait(false);
        else
            await WatchAsync(controller, running, cancellationToken).ConfigureAwait(false);
    }

    private void OpenLine(GpioController controller)
    {
        PinMode mode = options.Pull switch
        {
            GpioPull.Up => PinMode.InputPullUp,
            GpioPull.Down => PinMode.InputPullDown,
            _ => PinMode.Input,
        };
        try
        {
            controller.OpenPin(options.Line, mode);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            throw new IOException($"line {options.Line} of {chipName} cannot be opened ({error.Message}); 'gpioinfo' shows who has it", error);
        }
    }

    private async Task PollAsync(GpioController controller, TimeSpan interval, Action running, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        running();
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                Counters.AddReceived();
                bool level = ReadLevel(controller);
                await StoreAsync(Record(level, edge: null, time.GetUtcNow()), cancellationToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Told to stop.
        }
    }

    private async Task WatchAsync(GpioController controller, Action running, CancellationToken cancellationToken)
    {
        var changes = Channel.CreateBounded<LevelChange>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true });
        var debouncer = new Debouncer(options.Debounce, ReadLevel(controller));
        controller.RegisterCallbackForPinValueChangedEvent(options.Line, PinEventTypes.Rising | PinEventTypes.Falling, OnChange);
        try
        {
            running();
            await StoreChangesAsync(changes.Reader, debouncer, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            controller.UnregisterCallbackForPinValueChangedEvent(options.Line, OnChange);
        }

        // On the driver's thread: it must not wait.
        void OnChange(object sender, PinValueChangedEventArgs change)
        {
            Counters.AddReceived();
            bool level = (change.ChangeType == PinEventTypes.Rising) != options.ActiveLow;
            if (!changes.Writer.TryWrite(new LevelChange(level, Now(), time.GetUtcNow())))
                Drop($"more than {MaxWaiting} changes wait for the log");
        }
    }

    /// <summary>Runs until cancelled, and then stores what has come in before.</summary>
    private async Task StoreChangesAsync(ChannelReader<LevelChange> changes, Debouncer debouncer, CancellationToken cancellationToken)
    {
        using var drained = new CancellationTokenSource();
        using CancellationTokenRegistration stopped = cancellationToken.Register(() => drained.CancelAfter(DrainTime));
        var storing = new List<Task>();
        while (true)
        {
            bool stopping = cancellationToken.IsCancellationRequested;

            // Handed over in order without waiting in between, so that one sync serves all that have come in.
            while (changes.TryRead(out LevelChange change))
            {
                Settle(debouncer, change.Now, storing, drained.Token);
                debouncer.Add(change.Level, change.Now, change.At);
                Settle(debouncer, change.Now, storing, drained.Token);
            }

            Settle(debouncer, stopping ? TimeSpan.MaxValue : Now(), storing, drained.Token);
            await Task.WhenAll(storing).ConfigureAwait(false);
            storing.Clear();
            if (stopping)
                return;

            await WaitAsync(changes, debouncer.DueAt, cancellationToken).ConfigureAwait(false);
        }
    }

    private void Settle(Debouncer debouncer, TimeSpan now, List<Task> storing, CancellationToken cancellationToken)
    {
        if (!debouncer.TryTake(now, out bool level, out DateTimeOffset at))
            return;

        bool wanted = options.Edge == GpioEdge.Both || level == (options.Edge == GpioEdge.Rising);
        if (wanted)
            storing.Add(StoreAsync(Record(level, level ? "rising" : "falling", at), cancellationToken).AsTask());
    }

    /// <summary>Until there is a change, or the last one has come to rest, or the run is cancelled.</summary>
    private async Task WaitAsync(ChannelReader<LevelChange> changes, TimeSpan? dueAt, CancellationToken cancellationToken)
    {
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task changed = changes.WaitToReadAsync(wait.Token).AsTask();
        TimeSpan pause = dueAt is { } due ? due - Now() : Timeout.InfiniteTimeSpan;
        if (dueAt is not null && pause <= TimeSpan.Zero)
            pause = TimeSpan.Zero;

        Task settled = Task.Delay(pause, time, wait.Token);
        await Task.WhenAny(changed, settled).ConfigureAwait(false);
        await wait.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(changed, settled).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async ValueTask StoreAsync(SourceRecord record, CancellationToken cancellationToken)
    {
        try
        {
            await sink.AppendAsync(record, cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            Drop(rejected.Message);
        }
    }

    private void Drop(string reason)
    {
        if (Counters.LastDrop != reason)
            logger.LogWarning("{Name}: a change was dropped: {Reason}", Name, reason);

        Counters.AddDropped(reason);
    }

    private bool ReadLevel(GpioController controller) => (controller.Read(options.Line) == PinValue.High) != options.ActiveLow;

    private TimeSpan Now() => time.GetElapsedTime(0);

    private SourceRecord Record(bool level, string? edge, DateTimeOffset at)
    {
        string value = edge is null
            ? $$"""{"line":{{options.Line}},"value":{{(level ? 1 : 0)}}}"""
            : $$"""{"line":{{options.Line}},"value":{{(level ? 1 : 0)}},"edge":"{{edge}}"}""";
        return new SourceRecord(options.Topic, new ReadOnlyMemory<byte>(_key), Encoding.UTF8.GetBytes(value), at, []);
    }
}
