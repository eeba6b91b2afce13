using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using Google.Protobuf;
using Grpc.Core;

namespace EdgeStream.Cluster.Grpc;

/// <content>Records out.</content>
public sealed partial class DataPlaneService
{
    private const int DefaultChunkBytes = 256 * 1024;
    private const int MaxChunkBytes = 1024 * 1024;

    public override async Task Consume(
        V1.ConsumeRequest request, IServerStreamWriter<V1.ConsumeResponse> responseStream, ServerCallContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        Partition partition = cluster.GetPartition(request.Topic, request.Partition);
        IPartitionLog log = partition.Log;
        int chunkBytes = request.MaxBytes switch
        {
            0 => DefaultChunkBytes,
            < 0 => throw new ClusterException(ErrorCode.InvalidArgument, $"max_bytes is {request.MaxBytes}, which is negative"),
            _ => Math.Min(request.MaxBytes, MaxChunkBytes),
        };

        using IDisposable open = streams.Open();
        long start = await StartOffsetAsync(request, log, stop.Token).ConfigureAwait(false);
        long end = log.Offsets.Durable;
        using IPartitionReader reader = log.OpenReader(start);
        HubClock? expiresBy = cluster.Current.Topics.GetValueOrDefault(request.Topic) is { Settings.IsDown: true } ? hubClock : null;
        ClockHistory told = log.Clock.History;
        var first = new V1.ConsumeResponse { StartOffset = start, Durable = end, Clock = ToMessage(told, log.Clock.Monotonic) };
        await responseStream.WriteAsync(first, stop.Token).ConfigureAwait(false);
        while (!request.StopAtEnd || reader.NextOffset < end)
        {
            long next = reader.NextOffset;
            using LogSlice slice = await reader.ReadAsync(chunkBytes, request.StopAtEnd ? end : long.MaxValue, stop.Token).ConfigureAwait(false);
            IEnumerable<Gap> gaps = GapsBetween(log, next, slice.IsEmpty ? reader.NextOffset : slice.BaseOffset);
            if (slice.IsEmpty && reader.NextOffset == next)
            {
                await reader.WaitAsync(stop.Token).ConfigureAwait(false);
                continue;
            }

            // Serialized before WriteAsync completes, so the slice may go then. It waits where the consumer does not read.
            var response = new V1.ConsumeResponse
            {
                Batches = UnsafeByteOperations.UnsafeWrap(slice.Batches),
                Durable = log.Offsets.Durable,
                Gaps = { gaps.Select(gap => TopologyMessages.ToMessage(partition, gap)) },
            };
            if (expiresBy is not null)
                response.HubTime = expiresBy.Now ?? -1;

            if (log.Clock.History is var history && history != told)
                response.Clock = ToMessage(told = history, log.Clock.Monotonic);

            await responseStream.WriteAsync(response, stop.Token).ConfigureAwait(false);
        }
    }

    private static V1.ClockHistory ToMessage(ClockHistory history, long monotonic) =>
        new() { Anchors = UnsafeByteOperations.UnsafeWrap(history.EncodeBehind([])), MonotonicMs = monotonic };

    private static IEnumerable<Gap> GapsBetween(IPartitionLog log, long next, long end)
    {
        while (next < end && log.FindGap(next) is { } gap)
        {
            yield return gap;
            next = gap.Last + 1;
        }
    }

    private static async ValueTask<long> StartOffsetAsync(V1.ConsumeRequest request, IPartitionLog log, CancellationToken cancellationToken)
    {
        LogOffsets offsets = log.Offsets;
        return request.StartCase switch
        {
            V1.ConsumeRequest.StartOneofCase.Offset => request.Offset,
            V1.ConsumeRequest.StartOneofCase.Beginning => offsets.Start,
            V1.ConsumeRequest.StartOneofCase.Time => await log.FindOffsetByTimeAsync(request.Time, cancellationToken).ConfigureAwait(false),
            V1.ConsumeRequest.StartOneofCase.Last when request.Last < 0 =>
                throw new ClusterException(ErrorCode.InvalidArgument, $"last is {request.Last}, which is negative"),
            V1.ConsumeRequest.StartOneofCase.Last => Math.Max(offsets.Start, offsets.Durable - request.Last),
            _ => offsets.Durable,
        };
    }
}
