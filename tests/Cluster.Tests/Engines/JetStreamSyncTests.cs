using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>When records in JetStream are synced, the NATS servers' configuration says and no topic.</summary>
public sealed class JetStreamSyncTests(NatsFixture nats) : IDisposable
{
    private const string Refusal =
        "records in NATS JetStream are synced as 'sync_interval' of the NATS servers says, for all topics (docs/cluster.md says what that promises); leave sync out";

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Topic_that_says_when_to_sync_is_refused_and_not_made()
    {
        await using NodeParts node = await StartAsync();
        foreach (bool isMirror in (bool[])[false, true])
        {
            var settings = new TopicSettings(isMirror) { Sync = SyncPolicy.Os };
            Assert.Equal(Refusal, (await Assert.ThrowsAsync<ClusterException>(() => node.Controller.CreateTopicAsync("t", 0, settings))).Message);
        }

        Assert.Empty(node.Controller.Current.Topics);
        await node.Controller.CreateTopicAsync("t", 0, new TopicSettings());
        var refused = await Assert.ThrowsAsync<ClusterException>(
            () => node.Controller.AlterTopicAsync("t", settings => settings with { Sync = SyncPolicy.Every(TimeSpan.FromSeconds(1)) }));
        Assert.Equal((ErrorCode.InvalidArgument, Refusal), (refused.Code, refused.Message));
        Assert.Equal(SyncPolicy.Commit, node.Controller.Current.Topics["t"].Settings.Sync);
    }

    [Fact]
    public async Task Topic_that_was_stored_with_such_a_setting_goes_on_and_can_be_changed()
    {
        Directory.CreateDirectory(_directory.At("hub"));
        using (var store = new LiteDbMetadataStore(Path.Combine(_directory.At("hub"), "metadata.db")))
            await store.SaveTopicAsync(new TopicInfo("t", new TopicSettings { Sync = SyncPolicy.Os }, [new PartitionInfo(0, 0)]));

        await using NodeParts node = await StartAsync();
        Assert.Equal(SyncPolicy.Os, node.Controller.Current.Topics["t"].Settings.Sync);
        await node.Controller.GetPartition("t", 0).Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await node.Controller.AlterTopicAsync("t", settings => settings with { RetentionAge = TimeSpan.FromHours(1) });
        await node.Controller.AlterTopicAsync("t", settings => settings with { Sync = SyncPolicy.Commit });
        Assert.Equal(
            (SyncPolicy.Commit, TimeSpan.FromHours(1)),
            (node.Controller.Current.Topics["t"].Settings.Sync, node.Controller.Current.Topics["t"].Settings.RetentionAge));
    }

    private async Task<NodeParts> StartAsync() => await NodeParts.StartAsync(
        _directory.At("hub"), isHub: true, engine: EngineUnderTest.JetStream(_directory.At("hub"), [(await nats.SingleAsync()).Url]));
}
