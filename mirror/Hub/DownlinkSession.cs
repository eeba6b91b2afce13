using System.Collections.Concurrent;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// One downlink stream at the hub. One task reads from it; one tells the edge which topics it is to have, those that come later
/// or are made anew included, and watches that it still may; one for each topic that it follows sends. The first that fails ends all.
/// </summary>
/// <remarks>Which partitions are sent follows from the geo-location alone; nothing that the edge says leads to another.</remarks>
internal sealed class DownlinkSession(
    string geoLocation,
    IClusterView cluster,
    Action checkRight,
    IServerStreamWriter<V1.DownHubMessage> responses,
    TimeProvider time,
    ILogger logger)
    : IDisposable
{
    private readonly SemaphoreSlim _writing = new(1);
    private readonly ConcurrentDictionary<string, ToldTopic> _told = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _sendingFailed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>A topic that the edge was told of, and what is sent of it once the edge follows.</summary>
    private sealed class ToldTopic(Partition partition, CancellationToken session)
    {
        private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(session);
        private readonly Lock _lock = new();
        private Task? _sending;
        private bool _stopped;

        public Partition Partition => partition;

        public string Incarnation { get; } = partition.Log.Manifest.Incarnation.ToString("N");

        /// <summary>What the edge knows; the watching task's own.</summary>
        public TimeSpan? TimeToLive { get; set; }

        /// <exception cref="ClusterException">It is followed already.</exception>
        public void Start(Func<CancellationToken, Task> send)
        {
            lock (_lock)
            {
                if (_sending is not null)
                    throw new ClusterException(ErrorCode.InvalidArgument, $"'{partition.Id.Topic}' is followed already on this stream");

                if (!_stopped)
                    _sending = Task.Run(() => send(_stop.Token));
            }
        }

        public async Task StopAsync()
        {
            lock (_lock)
                _stopped = true;

            await _stop.CancelAsync().ConfigureAwait(false);
            if (_sending is not null)
                await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            _stop.Dispose();
        }
    }

    /// <summary>Serves the stream until either side ends it, or the caller's right to it is over.</summary>
    public async Task RunAsync(IAsyncStreamReader<V1.DownEdgeMessage> requests, CancellationTokenSource stop)
    {
        if (!await requests.MoveNext(stop.Token).ConfigureAwait(false) || requests.Current.AskTime is not { } asked)
            throw new ClusterException(ErrorCode.InvalidArgument, "a downlink begins with AskTime");

        // Before any record, so that the edge can tell which of them count.
        await TellTimeAsync(asked, stop.Token).ConfigureAwait(false);
        Task reading = ReadAsync(requests, stop.Token);
        Task telling = TellTopicsAsync(stop.Token);
        Task first = await Task.WhenAny(reading, telling, _sendingFailed.Task).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(reading, telling).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (ToldTopic topic in _told.Values)
            await topic.StopAsync().ConfigureAwait(false);

        await first.ConfigureAwait(false);
    }

    public void Dispose() => _writing.Dispose();

    private async Task ReadAsync(IAsyncStreamReader<V1.DownEdgeMessage> requests, CancellationToken cancellationToken)
    {
        while (await requests.MoveNext(cancellationToken).ConfigureAwait(false))
        {
            checkRight();
            V1.DownEdgeMessage message = requests.Current;
            switch (message.MessageCase)
            {
                case V1.DownEdgeMessage.MessageOneofCase.AskTime:
                    await TellTimeAsync(message.AskTime, cancellationToken).ConfigureAwait(false);
                    break;

                case V1.DownEdgeMessage.MessageOneofCase.Follow when Told(message.Follow.Topic, message.Follow.Incarnation) is { } topic:
                    topic.Start(token => SendAsync(topic, message.Follow.Offset, token));
                    break;

                case V1.DownEdgeMessage.MessageOneofCase.Durable when Told(message.Durable.Topic, message.Durable.Incarnation) is { } topic:
                    topic.Partition.Edge = new EdgeProgress(message.Durable.Durable);
                    topic.Partition.Log.SetMirrored(message.Durable.Durable);
                    break;
            }
        }
    }

    /// <summary>Null where the hub has none of that kind for this edge, or has another log by now.</summary>
    private ToldTopic? Told(string topic, string incarnation) =>
        _told.TryGetValue(topic, out ToldTopic? told) && told.Incarnation == incarnation ? told : null;

    private async Task TellTopicsAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            TopologyMap map = cluster.Current;
            checkRight();
            foreach (TopicInfo topic in map.Topics.Values.Where(topic => topic.Settings.IsDown))
            {
                if (topic.PartitionOf(geoLocation) is { } info && Find(topic.Name, info.Number) is { } partition)
                    await TellTopicAsync(topic, partition, cancellationToken).ConfigureAwait(false);
            }

            await cluster.WaitForChangeAsync(map, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task TellTopicAsync(TopicInfo topic, Partition partition, CancellationToken cancellationToken)
    {
        ToldTopic? told = _told.GetValueOrDefault(topic.Name);
        if (told is not null && told.Partition != partition)
        {
            // Made anew: nothing of the old log may follow what is told of the new one.
            _told.TryRemove(topic.Name, out _);
            await told.StopAsync().ConfigureAwait(false);
            told = null;
        }

        if (told is not null && told.TimeToLive == topic.Settings.TimeToLive)
            return;

        told ??= _told.GetOrAdd(topic.Name, _ => new ToldTopic(partition, cancellationToken));
        told.TimeToLive = topic.Settings.TimeToLive;
        await WriteAsync(
            new V1.DownHubMessage
            {
                Topic = new V1.DownTopic
                {
                    Topic = topic.Name,
                    Incarnation = told.Incarnation,
                    TimeToLiveMs = (long)(topic.Settings.TimeToLive?.TotalMilliseconds ?? 0),
                    Durable = partition.Log.Offsets.Durable,
                },
            },
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Null where it was deleted just now, or cannot be opened.</summary>
    private Partition? Find(string topic, int number)
    {
        try
        {
            return cluster.GetPartition(topic, number) is { IsOpen: true } partition ? partition : null;
        }
        catch (ClusterException)
        {
            return null;
        }
    }

    private async Task SendAsync(ToldTopic told, long offset, CancellationToken cancellationToken)
    {
        string topic = told.Partition.Id.Topic;
        try
        {
            var feed = new DownlinkFeed(
                topic, told.Partition.Log, () => cluster.Current.Topics.GetValueOrDefault(topic)?.Settings.TimeToLive, time, WriteAsync);
            await feed.RunAsync(offset, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception ended) when (ended is LogClosedException || cancellationToken.IsCancellationRequested)
        {
            // Deleted, or the stream ends.
        }
        catch (Exception failure)
        {
            logger.LogWarning("{GeoLocation}: {Topic} cannot be sent down: {Problem}", geoLocation, topic, failure.Message);
            _sendingFailed.TrySetException(failure);
        }
    }

    private ValueTask TellTimeAsync(V1.AskTime asked, CancellationToken cancellationToken) => WriteAsync(
        new V1.DownHubMessage
        {
            Time = new V1.TellTime { HubTime = time.GetUtcNow().ToUnixTimeMilliseconds(), AskedAt = asked.AskedAt },
        },
        cancellationToken);

    /// <summary>One message at a time; waits where the edge does not read. Serialized on return, so its memory is free then.</summary>
    private async ValueTask WriteAsync(V1.DownHubMessage message, CancellationToken cancellationToken)
    {
        await _writing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await responses.WriteAsync(message, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }
}
