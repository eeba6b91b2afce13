using System.Collections.Immutable;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>An engine with one topic of one partition, which can be closed and opened again on the same store.</summary>
internal sealed class EngineUnderTest : IAsyncDisposable
{
    private readonly Func<string, IPartitionEngine> _create;
    private readonly string _directory;
    private IPartitionEngine? _engine;
    private IPartitionLog? _log;

    public EngineUnderTest(string directory, string clusterId, TopicSettings settings, Func<string, IPartitionEngine> create)
    {
        _create = create;
        _directory = directory;
        Topic = new TopicInfo("readings.raw", settings, [new PartitionInfo(0, 1, "north")]);
        Topology = new TopologyMap(clusterId, [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
            ImmutableSortedDictionary<string, TopicInfo>.Empty.Add(Topic.Name, Topic));
        Directory.CreateDirectory(directory);
    }

    public TopicInfo Topic { get; set; }

    public TopologyMap Topology { get; }

    public PartitionId Id => new(Topic.Name, 0);

    public IPartitionLog Log => _log!;

    public static IPartitionEngine Segments(string directory) => new SegmentEngine(
        new PartitionDirectories(directory), new LogOptions { SegmentBytes = 32 * 1024, PreallocateBytes = 4096 }, NullLogger.Instance, isHub: true);

    public static IPartitionEngine JetStream(
        string directory, IReadOnlyList<string> servers, TimeSpan? patience = null, ILogger? logger = null, TimeProvider? time = null) => new JetStreamEngine(
        directory, new JetStreamOptions(servers) { AnswerTimeout = TimeSpan.FromSeconds(2), Patience = patience ?? TimeSpan.FromSeconds(30) },
        logger ?? NullLogger.Instance, time: time);

    /// <summary>Opens the log, as often as it takes: servers that have just started have no leader yet.</summary>
    public async Task<IPartitionLog> OpenAsync()
    {
        string? problem = null;
        await Condition.WaitAsync(
            () => $"the partition opens: {problem}",
            async () =>
            {
                try
                {
                    await OpenOnceAsync();
                    return true;
                }
                catch (ClusterException early) when (early.Code is ErrorCode.Unavailable or ErrorCode.InvalidArgument)
                {
                    problem = early.Message;
                    return false;
                }
            });
        return Log;
    }

    public async Task OpenOnceAsync()
    {
        if (_engine is null)
        {
            _engine = _create(_directory);
            await _engine.StartAsync(Topology);
        }

        _log = await _engine.OpenAsync(Id, Topic, Topic.Partitions[0]);
    }

    public async Task<IPartitionLog> ReopenAsync()
    {
        await CloseAsync();
        await _engine!.DisposeAsync();
        _engine = null;
        return await OpenAsync();
    }

    public async Task CloseAsync()
    {
        if (_log is { } log)
            await _engine!.CloseAsync(log).InTimeAsync();

        _log = null;
    }

    public async Task DeleteAsync()
    {
        await CloseAsync();
        await _engine!.DeleteStoredAsync(Topic);
        _engine.Delete(Topic.Name);
    }

    public async ValueTask DisposeAsync()
    {
        await CloseAsync();
        if (_engine is not null)
            await _engine.DisposeAsync();
    }
}
