using System.Collections.Concurrent;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using Microsoft.Extensions.Logging;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>
/// Partitions as streams of NATS JetStream, a stream each, replicated by its servers: the engine of a hub where one machine is not enough.
/// Where the servers do not answer, partitions are closed with the reason, and opened when they do.
/// </summary>
public sealed class JetStreamEngine : IPartitionEngine
{
    private static readonly TimeSpan MaintenanceInterval = TimeSpan.FromSeconds(10);

    private readonly string _dataDirectory;
    private readonly JetStreamOptions _options;
    private readonly IClockSource? _clock;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly bool _isHub;
    private readonly JetStreamServers _servers;
    private readonly ConcurrentDictionary<JetStreamLog, bool> _open = new();
    private readonly CancellationTokenSource _stop = new();
    private Task _maintaining = Task.CompletedTask;
    private Task _watching = Task.CompletedTask;
    private volatile string? _problem;
    private string? _clusterId;
    private StateBucket? _bucket;

    /// <param name="dataDirectory">The hub's own, where the metadata lies.</param>
    /// <param name="options">Where the servers are.</param>
    /// <param name="logger">Told what becomes of the connection.</param>
    /// <param name="clock">The machine's clocks, for records that are stamped here; null where nobody asks.</param>
    /// <param name="time">For retention by age: what passes, not the date.</param>
    /// <param name="isHub">Whether mirror topics end here.</param>
    public JetStreamEngine(
        string dataDirectory, JetStreamOptions options, ILogger logger, IClockSource? clock = null, TimeProvider? time = null, bool isHub = true)
    {
        _dataDirectory = dataDirectory;
        _options = options;
        _clock = clock;
        _time = time ?? TimeProvider.System;
        _logger = logger;
        _isHub = isHub;
        _servers = new JetStreamServers(options, logger);
    }

    public TimeSpan RetryAfter { get; } = TimeSpan.FromSeconds(1);

    /// <summary>What is stored the servers know, whatever this process was told.</summary>
    public bool ReopensFailed => true;

    /// <summary>Also while there is no partition yet.</summary>
    public string? Problem => _problem;

    /// <summary>A stream cannot be set aside under another name.</summary>
    public bool DeletesStored => true;

    public int DefaultReplicas => _options.Replicas;

    /// <summary>The name of the NATS server that this is connected to; null while it is to none.</summary>
    public string? ConnectedServer => _servers.ConnectedServer;

    private StateBucket Bucket => _bucket ?? throw new InvalidOperationException("not started");

    public ValueTask StartAsync(TopologyMap topology)
    {
        EngineMark.Claim(_dataDirectory, EngineMark.JetStream);
        _clusterId = topology.ClusterId;
        _bucket = new StateBucket(_servers, topology.ClusterId);
        _maintaining = Task.Run(MaintainAsync);
        _watching = Task.Run(WatchAsync);
        return ValueTask.CompletedTask;
    }

    public async ValueTask<IPartitionLog> OpenAsync(PartitionId id, TopicInfo topic, PartitionInfo info)
    {
        await EnsureForOpeningAsync(topic.Settings.Replicas).ConfigureAwait(false);
        JetStreamLog log = await JetStreamLog.OpenAsync(
            _clusterId!, id, topic, info, topic.Settings.ToLogSettings(_isHub), topic.IsCopy(info, _isHub) ? null : _clock, _servers, Bucket, _options, _time, _logger)
            .ConfigureAwait(false);
        _open[log] = true;
        return log;
    }

    /// <summary>What is stored of a partition, whoever writes it: opens nothing, and changes nothing.</summary>
    /// <returns>Null where nothing is.</returns>
    /// <exception cref="EdgeStreamException">The servers cannot be asked, or what they have cannot be read.</exception>
    public async ValueTask<StoredLog?> FindStoredAsync(PartitionId id)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        return await JetStreamLog.FindStoredAsync(_clusterId!, id, _servers, Bucket).ConfigureAwait(false);
    }

    public async ValueTask<string?> FindStreamLeaderAsync(PartitionId id, CancellationToken cancellationToken)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        StreamInfo? known = await _servers.FindStreamAsync(StreamNames.Of(_clusterId!, id).Stream, cancellationToken).ConfigureAwait(false);
        return known?.Cluster?.Leader;
    }

    public ValueTask CloseAsync(IPartitionLog log)
    {
        _open.TryRemove((JetStreamLog)log, out _);
        return log.DisposeAsync();
    }

    public async ValueTask DeleteStoredAsync(TopicInfo topic)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        try
        {
            bool hasBucket = await Bucket.ExistsAsync().ConfigureAwait(false);
            foreach (PartitionInfo info in topic.Partitions)
            {
                var id = new PartitionId(topic.Name, info.Number);
                var names = StreamNames.Of(_clusterId!, id);
                StreamInfo? known = await _servers.FindStreamAsync(names.Stream).ConfigureAwait(false);
                Guid? incarnation = names.FindIncarnation(known?.Config.Description);
                if (incarnation is not null)
                    await _servers.DeleteStreamAsync(names.Stream).ConfigureAwait(false);

                // What was kept of a stream that is gone already, nobody knows any more without the mark.
                else if (known is null && hasBucket)
                    incarnation = await new StreamMark(Bucket, id).FindAsync().ConfigureAwait(false);

                if (incarnation is { } gone)
                    await Bucket.DeleteAsync(gone).ConfigureAwait(false);
            }

            // Last: where a deletion stops half-way, partitions stay closed whose streams are gone, and none begins anew at offset 0.
            await StreamMark.DeleteAsync(Bucket, topic.Name).ConfigureAwait(false);
        }
        catch (NatsJSApiException refusal)
        {
            throw new ClusterException(ErrorCode.StorageFailed, $"NATS does not delete the streams of '{topic.Name}': {refusal.Error.Description}");
        }
    }

    public void Delete(string topic)
    {
        // Who deletes the topic deletes its streams.
    }

    public ValueTask ReplaceAsync(PartitionId id, TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom) =>
        throw new ClusterException(ErrorCode.WrongRole, "only an edge puts another log in the place of its own");

    /// <summary>The servers say so, when there is none.</summary>
    public void CheckRoomFor(int partitions, int present)
    {
    }

    public async ValueTask CheckReplicasAsync(int replicas)
    {
        if (replicas <= 1)
            return;

        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        await Bucket.CheckReplicasAsync(replicas).ConfigureAwait(false);
    }

    public async ValueTask<bool> HasReplicasAsync(PartitionId id, int replicas, CancellationToken cancellationToken)
    {
        try
        {
            await _servers.EnsureReadyAsync().ConfigureAwait(false);
            StreamInfo? known = await _servers.FindStreamAsync(StreamNames.Of(_clusterId!, id).Stream, cancellationToken).ConfigureAwait(false);
            return known?.Config.NumReplicas == replicas && (known.Cluster?.Replicas?.Count(peer => peer.Current) ?? 0) >= replicas - 1;
        }
        catch (Exception error) when (error is EdgeStreamException or NatsJSException)
        {
            return false;
        }
    }

    public void CheckSync(SyncPolicy sync)
    {
        if (sync != SyncPolicy.Commit)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                "records in NATS JetStream are synced as 'sync_interval' of the NATS servers says, for all topics (docs/cluster.md says what that promises); leave sync out");
        }
    }

    public async ValueTask ChangeReplicasAsync(IPartitionLog log, int replicas)
    {
        var stream = (JetStreamLog)log;
        if (stream.Replicas == replicas && Bucket.Replicas >= replicas)
            return;

        await EnsureAsync(replicas).ConfigureAwait(false);
        if (stream.Replicas != replicas)
            await stream.ChangeReplicasAsync(replicas).ConfigureAwait(false);
    }

    public void Clean()
    {
        // Retention is the streams' own, and MaintainAsync's.
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _maintaining.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // What it asks ends with the connection.
        await _servers.DisposeAsync().ConfigureAwait(false);
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _bucket?.Dispose();
        _stop.Dispose();
    }

    /// <summary>Has a connection, and a bucket that is on as many servers: where that cannot be, no stream can either.</summary>
    private async ValueTask EnsureAsync(int replicas)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        await Bucket.EnsureAsync(replicas).ConfigureAwait(false);
    }

    /// <summary>As <see cref="EnsureAsync"/>; but a bucket that is there will do, on however many servers it is: what is stored can be used.</summary>
    private async ValueTask EnsureForOpeningAsync(int replicas)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        try
        {
            await Bucket.EnsureAsync(replicas).ConfigureAwait(false);
        }
        catch (ClusterException)
        {
            if (!await Bucket.ExistsAsync().ConfigureAwait(false))
                throw;
        }
    }

    /// <summary>Keeps <see cref="Problem"/> true: where there is no partition, nobody else connects.</summary>
    private async Task WatchAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await _servers.EnsureReadyAsync().ConfigureAwait(false);
                _problem = null;
            }
            catch (Exception error) when (!_stop.IsCancellationRequested)
            {
                if (_problem is null)
                    _logger.LogWarning("{Problem}", error.Message);

                _problem = error.Message;
            }

            await Task.Delay(RetryAfter, _stop.Token).ConfigureAwait(false);
        }
    }

    private async Task MaintainAsync()
    {
        using var timer = new PeriodicTimer(MaintenanceInterval);
        while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
        {
            foreach (JetStreamLog log in _open.Keys)
            {
                try
                {
                    await log.MaintainAsync().ConfigureAwait(false);
                }
                catch (Exception error) when (error is EdgeStreamException or NatsJSException)
                {
                    // Its writer and readers say so where it matters; here it is tried again.
                    _logger.LogDebug("{Partition} cannot be looked after now: {Problem}", log.Manifest.Topic, error.Message);
                }
                catch (Exception error) when (!_stop.IsCancellationRequested)
                {
                    // One must not keep the others from it.
                    _logger.LogError(error, "{Partition} cannot be looked after: {Problem}", log.Manifest.Topic, error.Message);
                }
            }
        }
    }
}
