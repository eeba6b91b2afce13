using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Downlink;

/// <summary>
/// The edge's end of the downlink: has the topics that the hub tells it to have, and appends what comes, verbatim, at the hub's
/// offsets. Asks the hub for its time, first of all and then now and then.
/// </summary>
/// <remarks>
/// While the month's data is used up it follows nothing: the stream ends, so that the hub keeps what there is, and is made again
/// when the month or the free hours begin.
/// </remarks>
public sealed class DownlinkLane(StreamController controller, HubClock clock, TimeProvider time, ILogger<DownlinkLane> logger) : IUplinkLane
{
    // Two clocks drift apart by some tenths of a second meanwhile. More often, and it would be most of what an idle link costs.
    private static readonly TimeSpan AskInterval = TimeSpan.FromHours(1);

    public string Name => "downlink";

    public async Task RunAsync(UplinkConnection connection, CancellationToken cancellationToken)
    {
        while (true)
        {
            await connection.Share.WaitForMonthAsync(usedUp: false, cancellationToken).ConfigureAwait(false);
            await FollowAsync(connection, cancellationToken).ConfigureAwait(false);
            logger.LogWarning("nothing flows down from {Hub} for now: the month's data is used up", connection.Identity.Hub);
        }
    }

    /// <summary>Follows until the month's data is used up; fails where the stream ends before.</summary>
    private async Task FollowAsync(UplinkConnection connection, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using AsyncDuplexStreamingCall<V1.DownEdgeMessage, V1.DownHubMessage> call =
            new V1.Downlink.DownlinkClient(connection.Channel).Follow(cancellationToken: stop.Token);
        using var requests = new Requests(call.RequestStream);
        Task asking = AskAsync(requests, stop.Token);
        Task receiving = ReceiveAsync(connection, call.ResponseStream, requests, stop.Token);
        Task usedUp = connection.Share.WaitForMonthAsync(usedUp: true, stop.Token);
        Task first = await Task.WhenAny(asking, receiving, usedUp).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await asking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await usedUp.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        if (first.IsCompletedSuccessfully && connection.Share.IsMonthUsedUp)
        {
            await receiving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return;
        }

        // Why the hub has ended the stream is in its answer; a write that failed knows only that it did.
        await receiving.ConfigureAwait(false);
        throw new IOException("the hub has ended the stream");
    }

    private async Task AskAsync(Requests requests, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(AskInterval, time);
        do
        {
            await requests
                .WriteAsync(new V1.DownEdgeMessage { AskTime = new V1.AskTime { AskedAt = clock.Monotonic } }, cancellationToken)
                .ConfigureAwait(false);
        }
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Appends what comes, until the hub ends the stream or the month's data is used up.</summary>
    private async Task ReceiveAsync(
        UplinkConnection connection, IAsyncStreamReader<V1.DownHubMessage> messages, Requests requests, CancellationToken cancellationToken)
    {
        var copies = new Dictionary<string, DownCopy>(StringComparer.Ordinal);
        while (!connection.Share.IsMonthUsedUp && await messages.MoveNext(cancellationToken).ConfigureAwait(false))
        {
            V1.DownHubMessage message = messages.Current;
            switch (message.MessageCase)
            {
                case V1.DownHubMessage.MessageOneofCase.Time:
                    clock.Tell(message.Time.HubTime, message.Time.AskedAt);
                    break;

                case V1.DownHubMessage.MessageOneofCase.Topic:
                    await OpenAsync(message.Topic, connection.Identity.Id, copies, requests, cancellationToken).ConfigureAwait(false);
                    break;

                case V1.DownHubMessage.MessageOneofCase.Batches
                    when copies.GetValueOrDefault(message.Batches.Topic) is { } copy && copy.Incarnation == message.Batches.Incarnation:
                    ReadOnlyMemory<byte> batches = message.Batches.Batches.Memory;
                    await AppendAsync(
                        copy, message.Batches.Topic, copy.Log.EnqueueVerbatimAsync(batches, AckLevel.Durable, cancellationToken),
                        requests, cancellationToken).ConfigureAwait(false);
                    break;

                case V1.DownHubMessage.MessageOneofCase.Gap
                    when copies.GetValueOrDefault(message.Gap.Gap.Topic) is { } copy && copy.Incarnation == message.Gap.Incarnation:
                    await AppendAsync(
                        copy, message.Gap.Gap.Topic, copy.Log.EnqueueGapAsync(MirrorGaps.FromMessage(message.Gap.Gap), cancellationToken),
                        requests, cancellationToken).ConfigureAwait(false);
                    break;
            }
        }
    }

    /// <summary>A topic that cannot be had here does not keep the others from coming.</summary>
    private async Task OpenAsync(
        V1.DownTopic told, string hub, Dictionary<string, DownCopy> copies, Requests requests, CancellationToken cancellationToken)
    {
        if (copies.TryGetValue(told.Topic, out DownCopy? known) && known.Incarnation == told.Incarnation)
        {
            // It is followed already: only its settings have changed.
            await controller.EnsureDownTopicAsync(told.Topic, DownCopy.TimeToLiveOf(told)).ConfigureAwait(false);
            return;
        }

        copies.Remove(told.Topic);
        DownCopy copy;
        try
        {
            copy = await DownCopy.OpenAsync(controller, told, hub, logger, cancellationToken).ConfigureAwait(false);
        }
        catch (EdgeStreamException problem)
        {
            logger.LogError("the topic {Topic} does not flow down here: {Problem}", told.Topic, problem.Message);
            return;
        }

        copies[told.Topic] = copy;
        var follow = new V1.FollowTopic { Topic = told.Topic, Incarnation = told.Incarnation, Offset = copy.Log.Offsets.Durable };
        await requests.WriteAsync(new V1.DownEdgeMessage { Follow = follow }, cancellationToken).ConfigureAwait(false);
        await TellDurableAsync(copy, told.Topic, requests, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// One message after the other is durable before the next is read: what flows down is little, and HTTP/2 keeps the rest at the hub.
    /// </summary>
    private static async Task AppendAsync(
        DownCopy copy, string topic, ValueTask<Task<AppendedRange>> append, Requests requests, CancellationToken cancellationToken)
    {
        Task<AppendedRange> acknowledged = await append.ConfigureAwait(false);

        // A disk that hangs does not keep the stream from ending; what was queued is appended all the same.
        await acknowledged.WaitAsync(cancellationToken).ConfigureAwait(false);
        await TellDurableAsync(copy, topic, requests, cancellationToken).ConfigureAwait(false);
    }

    private static Task TellDurableAsync(DownCopy copy, string topic, Requests requests, CancellationToken cancellationToken)
    {
        var durable = new V1.DownDurable { Topic = topic, Incarnation = copy.Incarnation, Durable = copy.Log.Offsets.Durable };
        return requests.WriteAsync(new V1.DownEdgeMessage { Durable = durable }, cancellationToken);
    }

    /// <summary>What goes to the hub, one message at a time.</summary>
    private sealed class Requests(IClientStreamWriter<V1.DownEdgeMessage> stream) : IDisposable
    {
        private readonly SemaphoreSlim _writing = new(1);

        public async Task WriteAsync(V1.DownEdgeMessage message, CancellationToken cancellationToken)
        {
            await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                await stream.WriteAsync(message, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                _writing.Release();
            }
        }

        public void Dispose() => _writing.Dispose();
    }
}
