using System.Runtime.ExceptionServices;
using System.Threading.Channels;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using EdgeStream.Storage.Records;
using Google.Protobuf;
using Grpc.Core;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>
/// Appends records to one partition over one stream, many batches on their way at once. Safe from any thread. After an error
/// every call fails: make a new one, and send again what was not acknowledged.
/// </summary>
public sealed class Producer : IAsyncDisposable
{
    // Batches whose acknowledgement is awaited; the accumulator bounds them too.
    private const int MaxUnacknowledged = 256;

    private readonly AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> _call;
    private readonly ProduceOpen _open;
    private readonly RecordAccumulator _accumulator;
    private readonly string _endpoint;
    private readonly Channel<TaskCompletionSource<long>> _unacknowledged =
        Channel.CreateBounded<TaskCompletionSource<long>>(new BoundedChannelOptions(MaxUnacknowledged) { SingleReader = true });

    private readonly Task _responses;
    private bool _opened;

    internal Producer(DataPlane.DataPlaneClient spu, Topic topic, int partition, Ack ack, string endpoint)
    {
        _endpoint = endpoint;
        _open = new ProduceOpen { Topic = topic.Name, Partition = partition, Ack = ack };
        _call = spu.Produce();
        var codec = Enum.TryParse(topic.Settings.Compression, ignoreCase: true, out CompressionCodec known) ? known : CompressionCodec.None;
        _accumulator = new RecordAccumulator(codec, SendAsync);
        _responses = ReadResponsesAsync();
    }

    /// <summary>
    /// Appends a record. The outer task completes when the record has its place in the order (its memory is free then), the
    /// inner one with its offset once it is acknowledged.
    /// </summary>
    /// <exception cref="EdgeStreamException">The record is too large, or the cluster refused it.</exception>
    public ValueTask<Task<long>> SendAsync(Record record, CancellationToken cancellationToken = default) =>
        _accumulator.AddAsync(record, cancellationToken);

    /// <summary>Sends what waits, and waits for its acknowledgement.</summary>
    public async ValueTask DisposeAsync()
    {
        await _accumulator.DisposeAsync().ConfigureAwait(false);
        _unacknowledged.Writer.TryComplete();
        try
        {
            await _call.RequestStream.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or IOException)
        {
            // The stream has ended already; who sent something was told.
        }

        await _responses.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _call.Dispose();
    }

    private async ValueTask<Task<long>> SendAsync(ReadOnlyMemory<byte> batch, CancellationToken cancellationToken)
    {
        var acknowledged = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            await _unacknowledged.Writer.WriteAsync(acknowledged, cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException closed) when (closed.InnerException is { } failure)
        {
            ExceptionDispatchInfo.Throw(failure);
        }

        try
        {
            if (!_opened)
            {
                _opened = true;
                await _call.RequestStream.WriteAsync(new ProduceRequest { Open = _open }, cancellationToken).ConfigureAwait(false);
            }

            // Serialized before the write completes, so the batch's memory is free after it.
            var request = new ProduceRequest { Batches = UnsafeByteOperations.UnsafeWrap(batch) };
            await _call.RequestStream.WriteAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or IOException)
        {
            // The response stream says why, in its own words.
        }

        return acknowledged.Task;
    }

    private async Task ReadResponsesAsync()
    {
        Exception failure = new EdgeStreamException("the stream was ended by the cluster; try again");
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None).ConfigureAwait(false))
            {
                TaskCompletionSource<long> next = await _unacknowledged.Reader.ReadAsync().ConfigureAwait(false);
                next.TrySetResult(_call.ResponseStream.Current.BaseOffset);
            }
        }
        catch (RpcException error)
        {
            failure = ClientException.From(error, _endpoint);
        }
        catch (Exception error)
        {
            // Whatever it is: somebody waits.
            failure = error;
        }

        _unacknowledged.Writer.TryComplete(failure);
        while (_unacknowledged.Reader.TryRead(out TaskCompletionSource<long>? waiting))
            waiting.TrySetException(failure);
    }
}
