using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A partition that a member of a group reads: one record on its way or at hand. For one caller at a time.</summary>
internal sealed class SharedPartition : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly EdgeStreamClient _client;
    private readonly GroupOptions _options;
    private readonly Action<SharedPartition> _arrived;
    private Consumer? _consumer;
    private IAsyncEnumerator<Record>? _records;
    private long _next;

    /// <param name="client">Of the cluster.</param>
    /// <param name="options">How it is read.</param>
    /// <param name="number">Which partition.</param>
    /// <param name="offset">Where it begins.</param>
    /// <param name="arrived">Told on any thread when an <see cref="Arrival"/> that was waited for has completed.</param>
    public SharedPartition(EdgeStreamClient client, GroupOptions options, int number, long offset, Action<SharedPartition> arrived)
    {
        (_client, _options, Number, _next, _arrived) = (client, options, number, offset, arrived);
        WaitFor(MoveNextAsync());
    }

    public int Number { get; }

    /// <summary>Completes with true when <see cref="Current"/> is a record; with false when the end is reached at which it was to stop.</summary>
    public Task<bool> Arrival { get; private set; } = Task.FromResult(false);

    public GroupRecord Current => new(Number, _records!.Current, _consumer!.TimeOf(_records.Current));

    public bool HasEnded => Arrival.IsCompletedSuccessfully && !Arrival.Result;

    public bool IsDisposed { get; private set; }

    /// <summary>Lets go of <see cref="Current"/>.</summary>
    public void Advance()
    {
        _next = _records!.Current.Offset + 1;
        ValueTask<bool> moved = _records.MoveNextAsync();

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
            return await OpenAsync(new ConsumeRequest { Offset = _next }).ConfigureAwait(false);
        }
        catch (ClientException gone) when (gone.Code == ErrorCode.OffsetOutOfRange)
        {
            await CloseAsync().ConfigureAwait(false);
            return await OpenAsync(new ConsumeRequest { Beginning = true }).ConfigureAwait(false);
        }
    }

    private async Task<bool> OpenAsync(ConsumeRequest request)
    {
        (request.Topic, request.Partition, request.StopAtEnd) = (_options.Topic, Number, _options.StopAtEnd);
        _consumer = await _client
            .ConsumeAsync(request, gapSeen: _options.GapSeen, patience: TimeSpan.MaxValue, interrupted: _options.Interrupted).ConfigureAwait(false);
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
