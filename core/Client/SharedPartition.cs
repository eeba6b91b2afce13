using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A partition that is read beside others: one record on its way or at hand. For one caller at a time.</summary>
internal sealed class SharedPartition : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly ConsumeRequest _request;
    private readonly Func<ConsumeRequest, Task<Consumer>> _open;
    private readonly Action<SharedPartition> _arrived;
    private Consumer? _consumer;
    private IAsyncEnumerator<Record>? _records;

    /// <param name="request">What to read. An offset that is not held any more stands for the first that is.</param>
    /// <param name="open">Starts to read.</param>
    /// <param name="arrived">Told on any thread when an <see cref="Arrival"/> that was waited for has completed.</param>
    public SharedPartition(ConsumeRequest request, Func<ConsumeRequest, Task<Consumer>> open, Action<SharedPartition> arrived)
    {
        (_request, _open, _arrived) = (request, open, arrived);
        WaitFor(MoveNextAsync());
    }

    public int Number => _request.Partition;

    /// <summary>Completes with true when <see cref="Current"/> is a record; with false when the end is reached at which it was to stop.</summary>
    public Task<bool> Arrival { get; private set; } = Task.FromResult(false);

    public GroupRecord Current => new(Number, _records!.Current, _consumer!.TimeOf(_records.Current));

    public bool HasEnded => Arrival.IsCompletedSuccessfully && !Arrival.Result;

    public bool IsDisposed { get; private set; }

    /// <summary>Lets go of <see cref="Current"/>.</summary>
    public void Advance()
    {
        ValueTask<bool> moved = _records!.MoveNextAsync();

        // Most records lie in a batch that has come already.
        if (moved.IsCompletedSuccessfully)
            Arrival = Task.FromResult(moved.Result);
        else
            WaitFor(moved.AsTask());
    }

    public async ValueTask DisposeAsync()
    {
        IsDisposed = true;
        await _stop.CancelAsync().ConfigureAwait(false);
        await ((Task)Arrival).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await CloseAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private void WaitFor(Task<bool> arrival)
    {
        // In its place before anybody can be told.
        Arrival = arrival;
        _ = arrival.ContinueWith(_ => _arrived(this), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>The first record. Retention may have dropped it since its offset was told: then it goes on with the first that is held.</summary>
    private async Task<bool> MoveNextAsync()
    {
        try
        {
            return await OpenAsync(_request).ConfigureAwait(false);
        }
        catch (ClientException gone) when (gone.Code == ErrorCode.OffsetOutOfRange && _request.StartCase == ConsumeRequest.StartOneofCase.Offset)
        {
            await CloseAsync().ConfigureAwait(false);
            return await OpenAsync(new ConsumeRequest(_request) { Beginning = true }).ConfigureAwait(false);
        }
    }

    private async Task<bool> OpenAsync(ConsumeRequest request)
    {
        _consumer = await _open(request).ConfigureAwait(false);
        _records = _consumer.ReadAsync(_stop.Token).GetAsyncEnumerator();
        return await _records.MoveNextAsync().ConfigureAwait(false);
    }

    private async ValueTask CloseAsync()
    {
        if (_records is not null)
            await _records.DisposeAsync().ConfigureAwait(false);

        _consumer?.Dispose();
        (_records, _consumer) = (null, null);
    }
}
