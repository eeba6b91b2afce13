using System.Runtime.CompilerServices;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Time;
using Grpc.Core;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>
/// Reads one partition onward. Where the connection is lost or another SPU leads, it goes on there with the next record that it would have
/// given. For one caller at a time. Checks every batch's checksum.
/// </summary>
public sealed class Consumer : IDisposable
{
    // Silence is usual. An SPU that does not know that another leads would be silent for ever.
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LateAfter = TimeSpan.FromSeconds(1);

    private readonly EdgeStreamClient _client;
    private readonly ConsumeRequest _request;
    private readonly Retries _retries;
    private readonly Action<string>? _interrupted;
    private readonly RecordExpiry _expiry;
    private readonly CancellationTokenSource _disposed = new();
    private Leader _leader;
    private AsyncServerStreamingCall<ConsumeResponse>? _call;
    private LeaderWatch? _watch;
    private volatile bool _hasAnswered;

    // Where the next batch begins, once the cluster has said where the first does; and where the durable end was then.
    private long? _position;
    private long _endAtStart;
    private long _nextOffset;
    private long? _hubTime;
    private Storage.Time.ClockHistory? _clock;
    private long _monotonic;

    internal Consumer(EdgeStreamClient client, Leader leader, ConsumeRequest request, TimeSpan patience, Action<string>? interrupted)
    {
        (_client, _leader, _request, _interrupted) = (client, leader, request.Clone(), interrupted);
        _retries = new Retries(patience);
        TopicSettings settings = leader.Topic.Settings;
        _expiry = new RecordExpiry(settings.TimeToLiveMs > 0 ? TimeSpan.FromMilliseconds(settings.TimeToLiveMs) : null);
        Open();
    }

    /// <summary>
    /// At an edge, of a topic that flows down from the hub: <see cref="ReadAsync"/> gives records, too, whose time to live is over, or
    /// may be for all that is known before the hub was heard.
    /// </summary>
    public bool IncludesExpired { get; init; }

    /// <summary>
    /// Told of offsets that are known to be lost, in their place: after the record before them was given, and before the next
    /// one. Called by who reads.
    /// </summary>
    public Action<Gap>? GapSeen { get; init; }

    /// <summary>The partition's durable end, as of the last response.</summary>
    public long DurableEnd { get; private set; }

    /// <summary>
    /// The batches as they lie in the log; ends where the request asked it to. The first may begin below the offset that was
    /// asked for. Each is valid until the next is asked for.
    /// </summary>
    /// <exception cref="ClientException">
    /// The cluster refused, or the connection was lost and could not be made anew in time. Records that retention has dropped meanwhile it
    /// refuses to give: <see cref="ErrorCode.OffsetOutOfRange"/>.
    /// </exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadBatchesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await NextAsync(cancellationToken).ConfigureAwait(false) is { } response)
        {
            DurableEnd = response.Durable;
            _hubTime = response.HasHubTime ? response.HubTime : null;
            if (response.Clock is { } clock)
                (_clock, _monotonic) = (Storage.Time.ClockHistory.Decode(clock.Anchors.Span), clock.MonotonicMs);

            if (_position is null)
                (_position, _nextOffset, _endAtStart) = (response.StartOffset, response.StartOffset, response.Durable);

            foreach (Gap gap in response.Gaps)
            {
                _position = Math.Max(_position.Value, gap.LastOffset + 1);
                GapSeen?.Invoke(gap);
            }

            foreach ((RecordBatchHeader header, ReadOnlyMemory<byte> batch) in RecordBatches.Split(response.Batches.Memory))
            {
                // Of a call that was made anew, the end is another.
                if (_request.StopAtEnd && header.BaseOffset >= _endAtStart)
                    yield break;

                _position = header.NextOffset;
                yield return batch;
            }
        }
    }

    /// <summary>The records from the offset that was asked for. Each is valid until the next is asked for.</summary>
    /// <exception cref="ClientException">See <see cref="ReadBatchesAsync"/>.</exception>
    /// <exception cref="CorruptBatchException">A batch was damaged on its way.</exception>
    public async IAsyncEnumerable<Record> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (ReadOnlyMemory<byte> batch in ReadBatchesAsync(cancellationToken).ConfigureAwait(false))
        {
            using RecordBatchReader reader = RecordBatchReader.Open(batch);
            while (reader.TryRead(out Record record))
            {
                if (record.Offset < _nextOffset)
                    continue;

                _nextOffset = record.Offset + 1;
                if (!HasExpired(record))
                    yield return record;
            }
        }
    }

    /// <summary>
    /// When a record that was just read was made: its timestamp, put right where the machine that has stamped it came to know the
    /// time only later.
    /// </summary>
    public CorrectedTime TimeOf(in Record record) =>
        _clock?.Correct(record.Offset, record.Timestamp, _monotonic) ?? new CorrectedTime(record.Timestamp, TimeCertainty.Unknown);

    /// <summary>Where reading begins. Instead of reading.</summary>
    internal async Task<long> FindStartAsync() =>
        (await NextAsync(CancellationToken.None).ConfigureAwait(false))?.StartOffset ?? throw new ClientException(ErrorCode.Internal, "the stream has ended without a beginning");

    /// <summary>Ends the call. Not while it is read but by the reading's cancellation token.</summary>
    public void Dispose()
    {
        _disposed.Cancel();
        _call?.Dispose();
        _ = _watch?.DisposeAsync().AsTask();
    }

    private bool HasExpired(in Record record)
    {
        if (IncludesExpired || _hubTime is not { } now)
            return false;

        long expiresAt = _expiry.ExpiresAt(record);
        return expiresAt != RecordExpiry.Never && (now < 0 || expiresAt <= now);
    }

    /// <summary>The next response, by another call where the one there was is lost; null at the end.</summary>
    private async ValueTask<ConsumeResponse?> NextAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            ClientException lost;
            try
            {
                if (_call is null)
                {
                    if (_request.StopAtEnd && _position >= _endAtStart)
                        return null;

                    _leader = await _client.FindLeaderAsync(_request.Topic, _request.Partition, _leader.Topology, cancellationToken).ConfigureAwait(false);
                    Open();
                }

                if (!await _call!.ResponseStream.MoveNext(cancellationToken).ConfigureAwait(false))
                    return null;

                _hasAnswered = true;
                _watch!.Heard();
                _retries.Succeeded();
                return _call.ResponseStream.Current;
            }
            catch (RpcException error) when (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException(error.Message, error, cancellationToken);
            }
            catch (RpcException error)
            {
                lost = _watch!.Explain(ClientException.From(error, _leader.Node.Endpoint));
                if (!_leader.IsPassing(lost.Code))
                    throw lost;
            }
            catch (ClientException error) when (error.Code == ErrorCode.Unavailable)
            {
                lost = error;
            }

            await CloseAsync().ConfigureAwait(false);
            if (!_retries.IsWorthwhile() || _disposed.IsCancellationRequested)
                throw lost;

            _interrupted?.Invoke(lost.Message);
            await _retries.PauseAsync(_leader.CanMove, cancellationToken).ConfigureAwait(false);
        }
    }

    private void Open()
    {
        // Not before the first response: what is not told yet nobody misses.
        if (_position is { } position)
            _request.Offset = position;

        _hasAnswered = false;
        _watch = LeaderWatch.OfPartition(_client, _leader, _request.Topic, _request.Partition, () => _hasAnswered ? SilentFor : LateAfter);
        _call = _leader.Node.DataPlane.Consume(_request, cancellationToken: _watch.Moved);
    }

    private async ValueTask CloseAsync()
    {
        _call?.Dispose();
        _call = null;
        if (_watch is not null)
            await _watch.DisposeAsync().ConfigureAwait(false);

        _watch = null;
    }
}
