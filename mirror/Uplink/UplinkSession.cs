using System.Collections.Concurrent;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>Told what a session does. Called from any thread; does not block.</summary>
internal interface IUplinkObserver
{
    void Welcomed(FlowWindow window);

    /// <summary>A chunk is being sent.</summary>
    /// <param name="batchBytes">What it holds.</param>
    /// <param name="pieceBytes">What that has become when it was compressed.</param>
    void Sending(int batchBytes, int pieceBytes);

    /// <summary>A topic stands still.</summary>
    /// <param name="topic">Which.</param>
    /// <param name="problem">Why, in one line.</param>
    /// <param name="needsSomebody">Whether waiting does not help.</param>
    void Refused(string topic, string problem, bool needsSomebody);

    /// <summary>A topic goes on, or is gone.</summary>
    void Settled(string topic);
}

/// <summary>
/// One stream to the hub, from Hello to its end. A task for each mirror topic reads its log and sends when its turn comes
/// (<see cref="UplinkWriter"/>); one task reads what the hub says, one watches that acknowledgements come. The first that ends,
/// ends all.
/// </summary>
internal sealed class UplinkSession(
    GrpcChannel channel,
    StreamController controller,
    HubMarks marks,
    UplinkOptions options,
    string version,
    StartToken startToken,
    DeadLetters deadLetters,
    LinkLimits limits,
    TimeProvider time,
    ILogger logger,
    IUplinkObserver observer)
{
    private readonly ConcurrentDictionary<string, TopicUplink> _topics = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _welcomed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly FlowWindow _window = new(time, limits.BytesPerSecond);
    private readonly UnfinishedChunks _unfinished = new();

    private UplinkWriter _writer = null!;
    private ChunkCompressor _compressor = null!;
    private long _lastProgress;

    /// <summary>Completes when the hub has let this edge in; never where it does not.</summary>
    public Task Welcomed => _welcomed.Task;

    /// <summary>Knows what the link carries.</summary>
    public FlowWindow Window => _window;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using AsyncDuplexStreamingCall<V1.EdgeMessage, V1.HubMessage> call =
            new V1.Mirror.MirrorClient(channel).Uplink(cancellationToken: stop.Token);

        var hello = new V1.Hello { SoftwareVersion = version, StartToken = startToken.Value, NewStart = startToken.IsNewStart };
        await call.RequestStream.WriteAsync(new V1.EdgeMessage { Hello = hello }, stop.Token).ConfigureAwait(false);
        V1.Welcome welcome = await ReceiveWelcomeAsync(call.ResponseStream, stop.Token).ConfigureAwait(false);
        _window.Grant(welcome.WindowBytes);
        using var compressor = new ChunkCompressor(_window, time);
        _compressor = compressor;
        _writer = new UplinkWriter(call.RequestStream, _window, limits.Wait, time, stop.Token);
        _lastProgress = time.GetTimestamp();
        observer.Welcomed(_window);
        _welcomed.TrySetResult();
        logger.LogInformation("connected to the hub as {GeoLocation}", welcome.GeoLocation);
        Task receiving = ReceiveAsync(call.ResponseStream, stop.Token);
        Task[] tasks = [receiving, MirrorAsync(welcome, stop.Token), WatchAsync(stop.Token)];
        Task first = await Task.WhenAny(tasks).ConfigureAwait(false);

        // Why the hub has ended the stream is in its answer; a write that failed knows only that it did.
        if (first != receiving && first.Exception?.InnerException is RpcException or InvalidOperationException or IOException)
            await Task.WhenAny(receiving, Task.Delay(options.ProgressTimeout, time, stop.Token)).ConfigureAwait(false);

        Task cause = receiving.IsFaulted ? receiving : first;
        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await cause.ConfigureAwait(false);
    }

    private async Task MirrorAsync(V1.Welcome welcome, CancellationToken cancellationToken)
    {
        await KeepTokenAsync(welcome.StartToken, cancellationToken).ConfigureAwait(false);
        await MirrorTopicsAsync(welcome, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>A full disk does not keep the mirror from making room: without the new token the old one stays good.</summary>
    private async Task KeepTokenAsync(string token, CancellationToken cancellationToken)
    {
        if (token.Length == 0)
            return;

        if (startToken.TryKeep(token))
        {
            var kept = new V1.EdgeMessage { TokenKept = new V1.TokenKept { StartToken = token } };
            await _writer.SendControlAsync(kept, cancellationToken).ConfigureAwait(false);
        }
        else
        {
            logger.LogWarning("the hub's start token cannot be kept; should this card be copied now, the hub could not tell");
        }
    }

    private async Task<V1.Welcome> ReceiveWelcomeAsync(IAsyncStreamReader<V1.HubMessage> messages, CancellationToken cancellationToken)
    {
        // The transport's own connect timeout ends when TCP and TLS stand; a frozen hub may still never answer.
        bool received;
        try
        {
            received = await messages.MoveNext(cancellationToken).WaitAsync(options.ProgressTimeout, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"the hub has taken the connection but said nothing for {options.ProgressTimeout.TotalSeconds:0} s; is it frozen?");
        }

        return received && messages.Current.Welcome is { WindowBytes: > 0 } welcome
            ? welcome
            : throw new IOException("the hub did not say welcome; is it an EdgeStream hub of the same version?");
    }

    private async Task ReceiveAsync(IAsyncStreamReader<V1.HubMessage> messages, CancellationToken cancellationToken)
    {
        while (await messages.MoveNext(cancellationToken).ConfigureAwait(false))
        {
            Volatile.Write(ref _lastProgress, time.GetTimestamp());
            V1.HubMessage message = messages.Current;
            switch (message.MessageCase)
            {
                case V1.HubMessage.MessageOneofCase.Opened when _topics.TryGetValue(message.Opened.Topic, out TopicUplink? topic):
                    topic.Opened(message.Opened);
                    break;

                case V1.HubMessage.MessageOneofCase.Refused when _topics.TryGetValue(message.Refused.Topic, out TopicUplink? topic):
                    topic.Refused(message.Refused);
                    break;

                case V1.HubMessage.MessageOneofCase.Ack:
                    Acknowledged(message.Ack);
                    break;
            }
        }
    }

    private void Acknowledged(V1.MirrorAck ack)
    {
        if (_topics.TryGetValue(ack.Topic, out TopicUplink? topic))
            topic.Acknowledged(ack.DurableEnd);

        if (!_window.TryAcknowledge(ack.PieceBytes))
            throw new IOException($"the hub has acknowledged {ack.PieceBytes} bytes that were not on their way; ask its operator");

        _window.Grant(ack.WindowBytes);
        _writer.Wake();
    }

    /// <summary>Starts a task for each mirror topic, those that come later included; makes those that the hub wants.</summary>
    private async Task MirrorTopicsAsync(V1.Welcome welcome, CancellationToken cancellationToken)
    {
        var running = new List<Task>();
        try
        {
            foreach (string name in welcome.Topics.Where(name => !controller.Current.Topics.ContainsKey(name)))
                await TryCreateTopicAsync(name).ConfigureAwait(false);

            while (true)
            {
                TopologyMap map = controller.Current;
                foreach (TopicInfo topic in map.Topics.Values.Where(topic => topic.Settings.Mirror))
                {
                    if (FindPartition(topic.Name) is not { IsOpen: true } partition)
                        continue;

                    var uplink = new TopicUplink(
                        topic.Name, options.Priorities.GetValueOrDefault(topic.Name), partition.Segments, marks, options, _writer, _window, limits,
                        _compressor, _unfinished, deadLetters, observer, time, logger);
                    if (_topics.TryAdd(topic.Name, uplink))
                        running.Add(RunTopicAsync(topic.Name, uplink, cancellationToken));
                }

                Task changed = controller.WaitForChangeAsync(map, cancellationToken);
                Task ended = await Task.WhenAny([changed, .. running]).ConfigureAwait(false);
                await ended.ConfigureAwait(false);
                running.Remove(ended);
            }
        }
        finally
        {
            await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task TryCreateTopicAsync(string name)
    {
        try
        {
            await controller.CreateTopicAsync(name, 1, new TopicSettings(Mirror: true)).ConfigureAwait(false);
        }
        catch (ClusterException exists) when (exists.Code == ErrorCode.TopicExists)
        {
            // Another hub wants it as well, and was faster.
        }
        catch (Exception problem) when (problem is EdgeStreamException or IOException)
        {
            observer.Refused(name, problem.Message, needsSomebody: true);
            logger.LogWarning("the topic {Topic} that the hub wants cannot be made: {Problem}", name, problem.Message);
        }
    }

    /// <summary>Null where the topic was deleted just now.</summary>
    private Partition? FindPartition(string topic)
    {
        try
        {
            return controller.GetPartition(topic, 0);
        }
        catch (ClusterException)
        {
            return null;
        }
    }

    private async Task RunTopicAsync(string name, TopicUplink uplink, CancellationToken cancellationToken)
    {
        await uplink.RunAsync(cancellationToken).ConfigureAwait(false);

        // Deleted; a new topic may take the name.
        _topics.TryRemove(name, out _);
    }

    /// <summary>Watches acknowledgements, not the socket: a link on which nothing moves is given up.</summary>
    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(options.ProgressTimeout / 4, time);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            // Time counts from when something was on its way.
            if (_window.InFlight == 0)
                Volatile.Write(ref _lastProgress, time.GetTimestamp());
            else if (time.GetElapsedTime(Volatile.Read(ref _lastProgress)) > options.ProgressTimeout)
                throw new TimeoutException($"the hub has acknowledged nothing for {options.ProgressTimeout.TotalSeconds:0} s");
        }
    }
}
