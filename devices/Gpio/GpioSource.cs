using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// Records what happens on one input line: its changes, the number of them in an interval, or its level at an interval. A record's
/// value is JSON: <c>{"line":17,"value":1,"edge":"rising"}</c>, <c>{"line":17,"count":12,"total":345}</c>, <c>{"line":17,"value":1}</c>.
/// </summary>
/// <param name="chipName">What people call the chip.</param>
/// <param name="open">Opens the line; called at each run, and the result disposed at its end.</param>
/// <param name="options">The line.</param>
/// <param name="sink">Where the records go.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told what is dropped.</param>
public sealed class GpioSource(
    string chipName, Func<IInputLine> open, GpioLineOptions options, IRecordSink sink, TimeProvider time, ILogger<GpioSource> logger)
    : ISource
{
    /// <summary>Changes that wait for the log. Beyond that they are lost, and counted: the kernel's own queue is shorter still.</summary>
    internal const int MaxWaiting = 4096;

    // How long what has come in before a stop may take to be stored.
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);

    private readonly byte[] _key = Encoding.UTF8.GetBytes(options.Key ?? options.Line.ToString());
    private readonly PulseCount _pulses = new();

    public string Name { get; } = $"gpio {chipName}/{options.Validated().Line}";

    public SourceCounters Counters { get; } = new(time);

    /// <summary>Pulses that were counted, in a record or not yet.</summary>
    internal long Pulses => _pulses.Total;

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using IInputLine line = open();
        if (options.Poll is { } interval)
            await PollAsync(line, interval, running, cancellationToken).ConfigureAwait(false);
        else
            await WatchAsync(line, running, cancellationToken).ConfigureAwait(false);
    }

    private async Task PollAsync(IInputLine line, TimeSpan interval, Action running, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        running();
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                Counters.AddReceived();
                string value = $$"""{"line":{{line.Number}},"value":{{(line.Read() ? 1 : 0)}}}""";
                await StoreAsync(value, time.GetUtcNow(), cancellationToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Told to stop.
        }
    }

    private async Task WatchAsync(IInputLine line, Action running, CancellationToken cancellationToken)
    {
        var changes = Channel.CreateBounded<LineChange>(new BoundedChannelOptions(MaxWaiting) { SingleReader = true, SingleWriter = true });
        var debouncer = options.Debounce > TimeSpan.Zero ? new Debouncer(options.Debounce, line.Read()) : null;
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var drained = new CancellationTokenSource();
        using CancellationTokenRegistration stopped = cancellationToken.Register(() => drained.CancelAfter(DrainTime));
        Task watching = WatchUntilEndAsync();
        Task counting = options.CountEvery is { } interval ? ReportUntilEndAsync(interval) : Task.CompletedTask;
        try
        {
            running();
            await TakeAsync(line, changes.Reader, debouncer, drained.Token).ConfigureAwait(false);
        }
        finally
        {
            await end.CancelAsync().ConfigureAwait(false);
            await watching.ConfigureAwait(false);
            await counting.ConfigureAwait(false);
        }

        // When all that came before is counted.
        if (_pulses.UnreportedOf(_pulses.Total) > 0)
            await ReportAsync(line, drained.Token).ConfigureAwait(false);

        // Where the line is gone, why.
        await changes.Reader.Completion.ConfigureAwait(false);

        async Task WatchUntilEndAsync()
        {
            try
            {
                await line.WatchAsync(OnChange, end.Token).ConfigureAwait(false);
                changes.Writer.TryComplete();
            }
            catch (Exception error)
            {
                changes.Writer.TryComplete(error);
            }
        }

        async Task ReportUntilEndAsync(TimeSpan interval)
        {
            try
            {
                await ReportAsync(line, interval, drained.Token, end.Token).ConfigureAwait(false);
            }
            catch
            {
                // Without records, counting is of no use: the run ends with what went wrong.
                await end.CancelAsync().ConfigureAwait(false);
                throw;
            }
        }

        // On the line's thread: it must not wait.
        void OnChange(LineChange change)
        {
            Counters.AddReceived(1 + change.Lost);
            if (!changes.Writer.TryWrite(change))
                Drop(DropReason.QueueFull, $"more than {MaxWaiting} changes wait for the log", 1 + change.Lost);
        }
    }

    /// <summary>Takes changes until there will be no more; completes when those that become records are stored.</summary>
    private async Task TakeAsync(IInputLine line, ChannelReader<LineChange> changes, Debouncer? debouncer, CancellationToken cancellationToken)
    {
        var storing = new List<Task>();
        Task<bool> changed = MoreAsync(changes);
        bool more = true;
        while (more)
        {
            await WaitAsync(changed, debouncer?.DueAt).ConfigureAwait(false);
            more = !changed.IsCompleted || await changed.ConfigureAwait(false);

            // Handed over in order without waiting in between, so that one sync serves all that have come in.
            while (changes.TryRead(out LineChange change))
            {
                if (change.Lost > 0)
                    TakeLost(change.Lost);

                if (debouncer is null)
                {
                    Count(change.Level, change.At);
                    continue;
                }

                Settle(change.At);
                debouncer.Add(change.Level, change.At);
            }

            Settle(more ? Now() : TimeSpan.MaxValue);
            await Task.WhenAll(storing).ConfigureAwait(false);
            storing.Clear();
            if (changed.IsCompleted)
                changed = MoreAsync(changes);
        }

        void Settle(TimeSpan now)
        {
            if (debouncer?.TryTake(now, out bool level, out TimeSpan since) == true)
                Count(level, since);
        }

        void Count(bool level, TimeSpan at)
        {
            if (options.Edge != GpioEdge.Both && level != (options.Edge == GpioEdge.Rising))
                return;

            if (options.CountEvery is not null)
            {
                _pulses.Add(1);
                return;
            }

            string value = $$"""{"line":{{line.Number}},"value":{{(level ? 1 : 0)}},"edge":"{{(level ? "rising" : "falling")}}"}""";
            storing.Add(StoreAsync(value, time.GetUtcNow() - (Now() - at), cancellationToken).AsTask());
        }
    }

    /// <summary>The kernel numbers the changes: how many are missing is known, and so are the pulses, where each change is one.</summary>
    private void TakeLost(long lost)
    {
        if (options.CountEvery is not null && options.WatchedEdge == options.Edge && options.Debounce == TimeSpan.Zero)
            _pulses.Add(lost);
        else
            Drop(DropReason.KernelBufferOverflow, "the kernel's buffer was full: the line changes faster than it is read", lost);
    }

    /// <summary>Until there is a change, or the last one has come to rest.</summary>
    private async Task WaitAsync(Task changed, TimeSpan? dueAt)
    {
        using var wait = new CancellationTokenSource();
        TimeSpan pause = dueAt is { } due ? TimeSpan.FromTicks(Math.Max(0, (due - Now()).Ticks)) : Timeout.InfiniteTimeSpan;
        await Task.WhenAny(changed, Task.Delay(pause, time, wait.Token)).ConfigureAwait(false);
        await wait.CancelAsync().ConfigureAwait(false);
    }

    /// <summary>Whether there are changes to take; false when there will be no more.</summary>
    private static async Task<bool> MoreAsync(ChannelReader<LineChange> changes)
    {
        try
        {
            return await changes.WaitToReadAsync().ConfigureAwait(false);
        }
        catch (IOException)
        {
            // The line is gone, and all that it told before is taken; the channel's completion says why.
            return false;
        }
    }

    private async Task ReportAsync(IInputLine line, TimeSpan interval, CancellationToken drained, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
                await ReportAsync(line, drained).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Told to stop.
        }
    }

    /// <summary>Records the pulses since the last such record. Those of a record that was not stored stand in the next one.</summary>
    private async Task ReportAsync(IInputLine line, CancellationToken cancellationToken)
    {
        long total = _pulses.Total;
        string value = $$"""{"line":{{line.Number}},"count":{{_pulses.UnreportedOf(total)}},"total":{{total}}}""";
        if (await StoreAsync(value, time.GetUtcNow(), cancellationToken).ConfigureAwait(false))
            _pulses.Reported(total);
    }

    /// <returns>Whether it is stored; false where it was refused.</returns>
    private async ValueTask<bool> StoreAsync(string value, DateTimeOffset at, CancellationToken cancellationToken)
    {
        try
        {
            var record = new SourceRecord(options.Topic, new ReadOnlyMemory<byte>(_key), Encoding.UTF8.GetBytes(value), at, []);
            await sink.AppendAsync(record, cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
            return true;
        }
        catch (RecordRejectedException rejected)
        {
            Drop(rejected.Reason, rejected.Message, 1);
            return false;
        }
    }

    private void Drop(DropReason reason, string message, long count)
    {
        if (Counters.LastDrop != message)
            logger.LogWarning("{Name}: a change was dropped: {Reason}", Name, message);

        Counters.AddDropped(reason, message, count);
    }

    private TimeSpan Now() => time.GetElapsedTime(0);
}
