using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A partition that a member of a group reads: one record on its way or at hand. For one caller at a time.</summary>
internal sealed class SharedPartition : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly EdgeStreamClient _client;
    private readonly GroupOptions _options;
    private Consumer? _consumer;
    private IAsyncEnumerator<Record>? _records;
    private long _next;

    public SharedPartition(EdgeStreamClient client, GroupOptions options, int number, long offset)
    {
        (_client, _options, Number, _next) = (client, options, number, offset);
        Arrival = MoveNextAsync();
    }

    public int Number { get; }

    /// <summary>Completes with true when <see cref="Current"/> is a record; with false when the end is reached at which it was to stop.</summary>
    public Task<bool> Arrival { get; private set; }

    public GroupRecord Current => new(Number, _records!.Current, _consumer!.TimeOf(_records.Current));

    public bool HasEnded => Arrival.IsCompletedSuccessfully && !Arrival.Result;

    /// <summary>Lets go of <see cref="Current"/>.</summary>
    public void Advance()
    {
        _next = _records!.Current.Offset + 1;
        ValueTask<bool> moved = _records.MoveNextAsync();

        // Most records lie in a batch that has come already.
        Arrival = moved.IsCompletedSuccessfully ? Task.FromResult(moved.Result) : moved.AsTask();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await ((Task)Arrival).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await CloseAsync().ConfigureAwait(false);
        _stop.Dispose();
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
        _consumer = await _client.ConsumeAsync(request, gapSeen: _options.GapSeen).ConfigureAwait(false);
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
