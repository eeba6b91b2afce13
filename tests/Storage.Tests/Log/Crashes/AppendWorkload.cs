using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>
/// Appends to a log as a seed says, several batches at a time, with both levels of acknowledgement, and reads it, closes it and
/// opens it in between. Errors that were injected are borne as a caller would; all others are violations.
/// </summary>
internal sealed class AppendWorkload(SimulatedDisk disk, LogUnderTest test, int seed, bool believesWritten = false)
{
    // How many appends are refused by a full disk before it has room again.
    private const int PatienceWithFullDisk = 3;

    private readonly Random _random = new(seed);
    private readonly LogObserver _observer = new(disk, believesWritten);
    private int _next;
    private int _refused;

    public LogEvidence Evidence => _observer.Evidence;

    /// <summary>The workload is over when the log has failed: the machine restarts, and with it goes the page cache.</summary>
    public bool EndsAtFailure { get; init; }

    public async Task RunAsync(int steps)
    {
        try
        {
            await OpenAsync();
            for (int step = 0; step < steps && !HasEnded; step++)
            {
                await StepAsync();
                if (!HasEnded)
                    await RecoverAsync();
            }

            if (HasEnded)
                return;

            disk.Faults?.Heal();
            await ProveAliveAsync();
        }
        finally
        {
            await CloseAsync();
            disk.BeforeOperation = null;
        }
    }

    private async Task StepAsync()
    {
        switch (_random.Next(14))
        {
            case 0:
                await CloseAsync();
                if (!HasEnded)
                    await OpenAsync();

                break;
            case 1:
                await SettleAsync();
                Attempt(ReadAll);
                break;
            case 2 when _observer.Log is { } log && test.TellsMirrored:
                log.SetMirrored(log.Offsets.Durable - _random.Next(5));
                break;
            case 3 when test.Maintain is { } maintain:
                await maintain(_observer.Log!, _random);
                break;
            default:
                await AppendSomeAsync();
                break;
        }
    }

    private async Task RecoverAsync()
    {
        if (_observer.Log!.Failure is not null)
        {
            await CloseAsync();
            disk.Faults?.Heal();
            await OpenAsync();
        }
        else if (_refused >= PatienceWithFullDisk)
        {
            disk.Faults?.Heal();
        }
    }

    private async Task AppendSomeAsync()
    {
        for (int i = _random.Next(1, 5); i > 0; i--)
            await AppendAsync(_random.Next(2) == 0 ? AckLevel.Durable : AckLevel.Written);

        // Else they stay on their way, so that the next ones catch up with them.
        if (_random.Next(3) > 0)
            await SettleAsync();
    }

    private async Task AppendAsync(AckLevel ack)
    {
        string[] values = [.. Enumerable.Range(0, _random.Next(1, 5)).Select(_ => TestValue.Of(_next++))];
        try
        {
            Task<AppendedRange> acknowledged = await _observer.Log!.EnqueueAsync(Batches.Of(values), ack).InTimeAsync();
            _observer.Expect(values, ack, acknowledged.InTimeAsync());
        }
        catch (Exception refused)
        {
            Bear(refused);
        }
    }

    private void ReadAll()
    {
        LogContents contents = LogContents.Read(_observer.Log!, test);
        foreach ((long offset, string value) in contents.Values)
            Evidence.NoteValue(offset, value);
    }

    private Task SettleAsync() => _observer.SettleAsync(Bear);

    /// <summary>Nothing fails any more. So the log takes records, unless it has failed: then it does when it is opened.</summary>
    private async Task ProveAliveAsync()
    {
        // A fault from before may still be on its way through the log's own threads. Behind a reopening there is none.
        if (await TryAppendAsync())
            return;

        bool failed = _observer.Log!.Failure is not null;
        if (HasEnded)
            return;

        await RecoverAsync();
        if (!failed || !await TryAppendAsync())
            throw new LogViolationException("the disk is sound again, but the log takes nothing", _observer.Log!.Failure);
    }

    private async Task<bool> TryAppendAsync()
    {
        await SettleAsync();
        int refusedBefore = _refused;
        await AppendAsync(AckLevel.Durable);
        await SettleAsync();
        if (_refused != refusedBefore)
            return false;

        ReadAll();
        return true;
    }

    private async Task OpenAsync()
    {
        while (true)
        {
            int hits = Hits;
            try
            {
                _observer.Log = test.Open(disk);
                return;
            }
            catch (Exception) when (Hits > hits)
            {
                if (EndsAtFailure)
                    return;

                // What has failed is opened again when it may have healed, as the node does it.
                disk.Faults!.Heal();
            }
        }
    }

    private async Task CloseAsync()
    {
        if (_observer.Log is not { } log)
            return;

        if (log.Failure is null)
            Attempt(ReadAll);

        _observer.Log = null;
        await log.DisposeAsync().InTimeAsync();
        await SettleAsync();
    }

    private void Attempt(Action read)
    {
        try
        {
            read();
        }
        catch (Exception error)
        {
            Bear(error);
        }
    }

    // A log that fails as it is closed does not say so; where it is closed, any fault may have been that one.
    private bool HasEnded => EndsAtFailure && Hits > 0 && _observer.Log is not { Failure: null };

    private int Hits => disk.Faults?.Hits ?? 0;

    private void Bear(Exception error)
    {
        _refused++;
        if (Hits == 0 || error is LogViolationException or TimeoutException)
            throw new LogViolationException($"the log refused without a reason: {error.Message}", error);
    }
}
