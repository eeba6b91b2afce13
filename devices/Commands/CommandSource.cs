using System.Text;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Commands;

/// <summary>
/// Records each line that a program prints. The next lines are read when the last ones are durable, so a program that is faster than
/// the log waits, as at any pipe. Its error output goes to the log.
/// </summary>
/// <param name="options">The program.</param>
/// <param name="sink">Where the records go.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told what is dropped, and what the program complains about.</param>
public sealed class CommandSource(CommandOptions options, IRecordSink sink, TimeProvider time, ILogger<CommandSource> logger) : ISource
{
    // How long a program may take to end when it is asked to, and its last lines to be stored.
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    // One that has neither printed anything nor lasted so long has not worked, and the pause before the next attempt grows.
    private static readonly TimeSpan Settled = TimeSpan.FromSeconds(5);

    private readonly ReadOnlyMemory<byte>? _key = options.Key is { } key ? new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(key)) : null;

    private readonly ErrorOutput _errors = new(NameOf(options), time, logger);

    public string Name { get; } = NameOf(options.Validated());

    public SourceCounters Counters { get; } = new(time);

    /// <summary>What would keep the program from being started, in one line; null where nothing would.</summary>
    public static string? FindProblem(CommandOptions options)
    {
        try
        {
            ChildGroup.Find(options.Command[0]);
            return null;
        }
        catch (IOException error)
        {
            return error.Message;
        }
    }

    public Task RunAsync(Action running, CancellationToken cancellationToken) => options.Every is { } every
        ? RunAgainAndAgainAsync(every, running, cancellationToken)
        : RunForEverAsync(running, cancellationToken);

    // Without its arguments: they may be secret, and the name stands in the metrics.
    private static string NameOf(CommandOptions options) => $"command {Path.GetFileName(options.Command[0])} for {options.Topic}";

    private async Task RunForEverAsync(Action running, CancellationToken cancellationToken)
    {
        using var ended = new CancellationTokenSource();
        int told = 0;
        Task settling = Task.Delay(Settled, time, ended.Token)
            .ContinueWith(_ => Works(), CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
        string? end;
        try
        {
            end = await RunOnceAsync(Works, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await settling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (!cancellationToken.IsCancellationRequested)
            throw new IOException(end);

        void Works()
        {
            if (Interlocked.Exchange(ref told, 1) == 0)
                running();
        }
    }

    private async Task RunAgainAndAgainAsync(TimeSpan every, Action running, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(every, time);
        bool told = false;
        do
        {
            using var limit = new CancellationTokenSource(every, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, cancellationToken);
            string? end = await RunOnceAsync(() => { }, either.Token).ConfigureAwait(false);
            if (!told)
                running();

            told = true;
            if (cancellationToken.IsCancellationRequested)
                return;

            if (limit.IsCancellationRequested)
                Drop(DropReason.NotReadable, $"'{options.Command[0]}' still ran when it was due again, and was killed");
            else if (end is not null)
                Drop(DropReason.NotReadable, end);
        }
        while (await NextAsync(timer, cancellationToken).ConfigureAwait(false));
    }

    private static async Task<bool> NextAsync(PeriodicTimer timer, CancellationToken cancellationToken)
    {
        try
        {
            return await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Runs the program to its end, which a cancellation brings about.</summary>
    /// <param name="printed">Called when it has printed something.</param>
    /// <param name="cancellationToken">Ends it, with all that it has started.</param>
    /// <returns>How it ended, in one line; null where all was well, or it was cancelled.</returns>
    private async Task<string?> RunOnceAsync(Action printed, CancellationToken cancellationToken)
    {
        using ChildGroup child = ChildGroup.Start(options.Command);
        using var abandon = new CancellationTokenSource();
        Task complaining = _errors.ReadAsync(child.Error);
        Task reading = StoreLinesAsync(child.Output, printed, abandon.Token);
        Task exited = child.WaitForExitAsync();
        try
        {
            // Where its lines cannot be stored any more, the program need not go on.
            Task first = await Task.WhenAny(exited, reading).WaitAsync(cancellationToken).ConfigureAwait(false);
            await first.ConfigureAwait(false);
            await exited.WaitAsync(cancellationToken).ConfigureAwait(false);

            // What it has started holds the pipe open as well, and ends with it. Its last lines may have to wait for the log.
            child.End();
            await reading.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            child.AskToEnd();
            await Task.WhenAny(Task.WhenAll(reading, exited), Task.Delay(StopGrace, time, CancellationToken.None)).ConfigureAwait(false);
        }
        finally
        {
            child.End();
            await abandon.CancelAsync().ConfigureAwait(false);
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await complaining.WaitAsync(StopGrace, time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (cancellationToken.IsCancellationRequested || (child.ExitCode == 0 && options.Every is not null))
            return null;

        return $"'{options.Command[0]}' ended with code {child.ExitCode}{(_errors.Last is { } last ? $": {last}" : "")}";
    }

    private async Task StoreLinesAsync(Stream output, Action printed, CancellationToken cancellationToken)
    {
        var reader = new LineReader(output, options.MaxLineBytes);
        var storing = new List<Task>();
        long tooLong = 0;
        while (true)
        {
            IReadOnlyList<ReadOnlyMemory<byte>> lines = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            for (; tooLong < reader.TooLong; tooLong++)
            {
                Counters.AddReceived();
                Drop(DropReason.TooLong, $"a line of '{options.Command[0]}' is longer than {options.MaxLineBytes} bytes");
            }

            if (reader.IsAtEnd && lines.Count == 0)
                return;

            printed();

            // Handed over in order without waiting in between, so that one sync serves all that have come in.
            DateTimeOffset now = time.GetUtcNow();
            storing.AddRange(lines.Select(line => StoreAsync(line, now, cancellationToken)));
            await Task.WhenAll(storing).ConfigureAwait(false);
            storing.Clear();
        }
    }

    private async Task StoreAsync(ReadOnlyMemory<byte> line, DateTimeOffset at, CancellationToken cancellationToken)
    {
        Counters.AddReceived();
        try
        {
            await sink.AppendAsync(new SourceRecord(options.Topic, _key, line, at, []), cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            Drop(rejected.Reason, rejected.Message);
        }
    }

    private void Drop(DropReason reason, string message)
    {
        if (Counters.LastDrop != message)
            logger.LogWarning("{Name}: {Problem}", Name, message);

        Counters.AddDropped(reason, message);
    }
}
