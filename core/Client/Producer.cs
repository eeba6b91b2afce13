using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using EdgeStream.Storage.Records;
using Google.Protobuf;
using Grpc.Core;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>
/// Appends records to one partition, many batches on their way at once. Where the connection is lost or another SPU leads it is made anew,
/// and what was not acknowledged is sent again: its batches are numbered, and the log takes each once. A log remembers numbers for a while
/// only, so it numbers anew, in another epoch, when a stream begins and nothing is sent again, and after a pause. Safe from any thread. After an error every call fails:
/// make a new one.
/// </summary>
public sealed class Producer : IAsyncDisposable
{
    /// <summary>How long it is tried to reach the cluster again before what waits fails.</summary>
    public static readonly TimeSpan DefaultPatience = TimeSpan.FromMinutes(2);

    /// <summary>
    /// After so long without a record it numbers anew: the leader that it knows may have ceased to be one without a word, and what that one
    /// refuses is sent again, to one that may know nothing of the numbers before.
    /// </summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    // Batches whose acknowledgement is awaited; the accumulator bounds them too.
    private const int MaxUnacknowledged = 256;

    // Acknowledgements that are late for so long make it look whether another SPU leads.
    private static readonly TimeSpan LateAfter = TimeSpan.FromSeconds(1);

    private readonly EdgeStreamClient _client;
    private readonly ProduceOpen _open;
    private readonly Retries _retries;
    private readonly Action<string>? _interrupted;
    private readonly Action? _handedOver;
    private readonly RecordAccumulator _accumulator;
    private readonly SemaphoreSlim _room = new(MaxUnacknowledged);
    private readonly Task _running;

    // Guards all below.
    private readonly Lock _lock = new();
    private readonly Queue<Batch> _unacknowledged = new();
    private Channel<Batch> _toSend = Channel.CreateUnbounded<Batch>();
    private Exception? _failure;
    private bool _isClosing;

    // Under what it sends, whether the accumulator has written that, and which of its sequences is 0 there.
    private long _producerId = NewProducerId();
    private short _epoch;
    private bool _isAccumulators = true;
    private int _firstSequence;
    private long _acknowledgedAt = Stopwatch.GetTimestamp();
    private int _streams;

    private sealed record Batch(ReadOnlyMemory<byte> Bytes, int Sequence)
    {
        /// <summary>The first of the streams that it was sent on, from 1; 0 where it cannot have been appended yet.</summary>
        public int SentOn { get; set; }

        public TaskCompletionSource<long> Acknowledged { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <param name="client">Of the cluster.</param>
    /// <param name="leader">Who leads the partition, or has lately.</param>
    /// <param name="partition">Which.</param>
    /// <param name="ack">What an acknowledgement means.</param>
    /// <param name="patience">How long a lost connection is tried again.</param>
    /// <param name="interrupted">Told, in one line, each time before it is tried again.</param>
    /// <param name="handedOver">Told when a batch is finished: what is sent from now on goes into another. Before it is acknowledged.</param>
    internal Producer(
        EdgeStreamClient client, Leader leader, int partition, Ack ack, TimeSpan patience, Action<string>? interrupted, Action? handedOver = null)
    {
        _client = client;
        (_interrupted, _handedOver) = (interrupted, handedOver);
        _open = new ProduceOpen { Topic = leader.Topic.Name, Partition = partition, Ack = ack };
        _retries = new Retries(patience);
        var codec = Enum.TryParse(leader.Topic.Settings.Compression, ignoreCase: true, out CompressionCodec known) ? known : CompressionCodec.None;
        _accumulator = new RecordAccumulator(codec, SendAsync, producerId: _producerId);
        _running = RunAsync(leader);
    }

    /// <summary>
    /// Appends a record. The outer task completes when the record has its place in the order (its memory is free then), the
    /// inner one with its offset once it is acknowledged.
    /// </summary>
    /// <exception cref="EdgeStreamException">The record is too large, or the cluster refused it, or could not be reached for too long.</exception>
    public ValueTask<Task<long>> SendAsync(Record record, CancellationToken cancellationToken = default) =>
        _accumulator.AddAsync(record, cancellationToken);

    /// <summary>Sends what waits, and waits for its acknowledgement.</summary>
    public async ValueTask DisposeAsync()
    {
        await _accumulator.DisposeAsync().ConfigureAwait(false);
        lock (_lock)
        {
            _isClosing = true;
            _toSend.Writer.TryComplete();
        }

        await _running.ConfigureAwait(false);
    }

    // Nobody gives them out, and of 2^63 no two are the same. They are no secret: a cryptographic one would need libssl at an edge's socket.
    private static long NewProducerId() => Random.Shared.NextInt64();

    /// <summary>Whether an acknowledgement is expected.</summary>
    private bool IsWaiting
    {
        get
        {
            lock (_lock)
                return _unacknowledged.Count > 0;
        }
    }

    private async ValueTask<Task<long>> SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        _handedOver?.Invoke();
        await _room.WaitAsync(cancellationToken).ConfigureAwait(false);
        RecordBatchHeader.TryRead(bytes.Span, out RecordBatchHeader header, out _);
        var batch = new Batch(bytes, header.BaseSequence);
        lock (_lock)
        {
            if (_failure is not null)
            {
                _room.Release();
                throw _failure;
            }

            _unacknowledged.Enqueue(batch);
            _toSend.Writer.TryWrite(batch);
        }

        return batch.Acknowledged.Task;
    }

    /// <summary>One connection after the other. Never fails: who waits is told.</summary>
    private async Task RunAsync(Leader leader)
    {
        bool isKnown = true;
        while (await HasWorkAsync().ConfigureAwait(false))
        {
            try
            {
                if (!isKnown)
                    leader = await _client.FindLeaderAsync(_open.Topic, _open.Partition, leader.Topology).ConfigureAwait(false);

                isKnown = true;
                (Leader next, ClientException? end) = await SendAllAsync(leader).ConfigureAwait(false);
                if (end is null || (end.Code == ErrorCode.SequenceConflict && MayNumberAnew()))
                    continue;

                if (!leader.IsPassing(end.Code) || !_retries.IsWorthwhile())
                    throw end;

                // Another may have been found already.
                isKnown = !next.IsSameAs(leader);
                leader = next;
                _interrupted?.Invoke(end.Message);
            }
            catch (ClientException lost) when (!isKnown && lost.Code == ErrorCode.Unavailable && _retries.IsWorthwhile())
            {
                _interrupted?.Invoke(lost.Message);
            }
            catch (Exception error)
            {
                Fail(error);
                return;
            }

            await _retries.PauseAsync(leader.CanMove, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>Waits until there is something to send; false where there is nothing and nothing will come.</summary>
    private async Task<bool> HasWorkAsync()
    {
        ChannelReader<Batch> toSend;
        lock (_lock)
        {
            // All that is not acknowledged is to be sent, again or for the first time.
            _toSend = Channel.CreateUnbounded<Batch>(new UnboundedChannelOptions { SingleReader = true });
            foreach (Batch batch in _unacknowledged)
                _toSend.Writer.TryWrite(batch);

            if (_isClosing)
                _toSend.Writer.TryComplete();

            toSend = _toSend.Reader;
        }

        return await toSend.WaitToReadAsync().ConfigureAwait(false);
    }

    /// <summary>Sends on one connection until it ends. No error where all was sent and acknowledged, and nothing more will come.</summary>
    private async Task<(Leader Leader, ClientException? End)> SendAllAsync(Leader leader)
    {
        ChannelReader<Batch> toSend;
        lock (_lock)
        {
            toSend = _toSend.Reader;
            if (_streams++ > 0 && _unacknowledged.All(batch => batch.SentOn == 0))
                NumberFrom(_unacknowledged.Peek());
        }

        await using var watch = LeaderWatch.OfPartition(_client, leader, _open.Topic, _open.Partition, () => IsWaiting ? LateAfter : null);
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call = leader.Node.DataPlane.Produce(cancellationToken: watch.Moved);
        Task<ClientException?> answers = ReadAnswersAsync(call, leader, watch);
        try
        {
            await call.RequestStream.WriteAsync(new ProduceRequest { Open = _open }).ConfigureAwait(false);
            while (await Task.WhenAny(answers, toSend.WaitToReadAsync().AsTask()).ConfigureAwait(false) != answers)
            {
                if (!toSend.TryRead(out Batch? next))
                {
                    await call.RequestStream.CompleteAsync().ConfigureAwait(false);
                    break;
                }

                Number(next);

                // Serialized before the write completes; the batch stays as it is until it is acknowledged.
                await call.RequestStream.WriteAsync(new ProduceRequest { Batches = UnsafeByteOperations.UnsafeWrap(next.Bytes) }).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or IOException or OperationCanceledException)
        {
            // The answers say why, in their own words.
        }

        ClientException? end = await answers.ConfigureAwait(false);
        return (watch.Leader, end is null ? null : watch.Explain(end));
    }

    /// <summary>Writes into a batch under what it is sent, unless it was before.</summary>
    private void Number(Batch batch)
    {
        if (batch.SentOn > 0)
            return;

        lock (_lock)
        {
            batch.SentOn = _streams;
            bool isAlone = _unacknowledged.TryPeek(out Batch? oldest) && ReferenceEquals(oldest, batch);
            if (isAlone && batch.Sequence != _firstSequence && Stopwatch.GetElapsedTime(_acknowledgedAt) >= Pause)
                NumberFrom(batch);

            // Its memory is the producer's until it is acknowledged.
            if (!_isAccumulators)
            {
                RecordBatchHeader.SetProducer(
                    MemoryMarshal.AsMemory(batch.Bytes).Span, _producerId, _epoch, (batch.Sequence - _firstSequence) & int.MaxValue);
            }
        }
    }

    /// <summary>Makes a batch the first of another epoch. None before it is sent any more. Under the lock.</summary>
    private void NumberFrom(Batch first)
    {
        if (_epoch == short.MaxValue)
            (_producerId, _epoch) = (NewProducerId(), 0);
        else
            _epoch++;

        (_firstSequence, _isAccumulators) = (first.Sequence, false);
    }

    /// <summary>
    /// Whether the batch whose number was refused, the oldest, was sent on this stream for the first time. Then neither it nor one behind it
    /// has been appended, and the next stream numbers them anew.
    /// </summary>
    private bool MayNumberAnew()
    {
        lock (_lock)
        {
            // The first number there is cannot be refused for what is not known any more.
            if (!_unacknowledged.TryPeek(out Batch? refused) || refused.SentOn != _streams || refused.Sequence == _firstSequence)
                return false;

            foreach (Batch batch in _unacknowledged)
                batch.SentOn = 0;

            return true;
        }
    }

    /// <summary>Why the answers have ended; null where nothing is left unacknowledged and they ended in order.</summary>
    private async Task<ClientException?> ReadAnswersAsync(
        AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call, Leader leader, LeaderWatch watch)
    {
        try
        {
            while (await call.ResponseStream.MoveNext(CancellationToken.None).ConfigureAwait(false))
            {
                Batch oldest;
                lock (_lock)
                {
                    oldest = _unacknowledged.Dequeue();
                    _acknowledgedAt = Stopwatch.GetTimestamp();
                }

                watch.Heard();
                _retries.Succeeded();
                _room.Release();
                oldest.Acknowledged.TrySetResult(call.ResponseStream.Current.BaseOffset);
            }
        }
        catch (RpcException error)
        {
            return ClientException.From(error, leader.Node.Endpoint);
        }

        lock (_lock)
            return _isClosing && _unacknowledged.Count == 0 ? null : new ClientException(ErrorCode.Unavailable, $"{leader.Node.Endpoint} has ended the stream");
    }

    private void Fail(Exception failure)
    {
        Batch[] waiting;
        lock (_lock)
        {
            _failure = failure;
            waiting = [.. _unacknowledged];
            _unacknowledged.Clear();
        }

        foreach (Batch batch in waiting)
            batch.Acknowledged.TrySetException(failure);

        // Whoever waits for room finds the failure.
        _room.Release(MaxUnacknowledged);
    }
}
