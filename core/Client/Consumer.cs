using System.Runtime.CompilerServices;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Time;
using Grpc.Core;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>Reads one partition onward. For one caller at a time. Checks every batch's checksum.</summary>
public sealed class Consumer : IDisposable
{
    private readonly AsyncServerStreamingCall<ConsumeResponse> _call;
    private readonly string _endpoint;
    private readonly RecordExpiry _expiry;
    private long _nextOffset;
    private long? _hubTime;
    private Storage.Time.ClockHistory? _clock;
    private long _monotonic;

    internal Consumer(DataPlane.DataPlaneClient spu, Topic topic, ConsumeRequest request, string endpoint)
    {
        _endpoint = endpoint;
        _expiry = new RecordExpiry(topic.Settings.TimeToLiveMs > 0 ? TimeSpan.FromMilliseconds(topic.Settings.TimeToLiveMs) : null);
        _call = spu.Consume(request);
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
    /// <exception cref="ClientException">The cluster refused, or the connection was lost.</exception>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadBatchesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await MoveNextAsync(cancellationToken).ConfigureAwait(false))
        {
            ConsumeResponse response = _call.ResponseStream.Current;
            DurableEnd = response.Durable;
            _nextOffset = Math.Max(_nextOffset, response.StartOffset);
            _hubTime = response.HasHubTime ? response.HubTime : null;
            if (response.Clock is { } clock)
                (_clock, _monotonic) = (Storage.Time.ClockHistory.Decode(clock.Anchors.Span), clock.MonotonicMs);

            foreach (Gap gap in response.Gaps)
                GapSeen?.Invoke(gap);

            foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(response.Batches.Memory))
                yield return batch;
        }
    }

    /// <summary>The records from the offset that was asked for. Each is valid until the next is asked for.</summary>
    /// <exception cref="ClientException">The cluster refused, or the connection was lost.</exception>
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

    public void Dispose() => _call.Dispose();

    private bool HasExpired(in Record record)
    {
        if (IncludesExpired || _hubTime is not { } now)
            return false;

        long expiresAt = _expiry.ExpiresAt(record);
        return expiresAt != RecordExpiry.Never && (now < 0 || expiresAt <= now);
    }

    private async Task<bool> MoveNextAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _call.ResponseStream.MoveNext(cancellationToken).ConfigureAwait(false);
        }
        catch (RpcException error) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(error.Message, error, cancellationToken);
        }
        catch (RpcException error)
        {
            throw ClientException.From(error, _endpoint);
        }
    }
}
