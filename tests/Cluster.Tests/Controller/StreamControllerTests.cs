using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Controller;

public sealed class StreamControllerTests : IDisposable
{
    private static readonly TopicSettings Plain = new();
    private static readonly TopicSettings Mirror = new(Mirror: true);

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Created_topic_has_its_partitions_and_survives_a_restart()
    {
        await using (NodeParts parts = await StartAsync())
        {
            await parts.Controller.CreateTopicAsync("t", 3, Plain);
            await parts.Log("t", 2).AppendAsync(Batches.Of("a"), AckLevel.Durable);
        }

        await using NodeParts again = await StartAsync();
        Assert.Equal([0, 1, 2], again.Spu.Partitions.Select(partition => partition.Id.Partition));
        Assert.Equal(["a"], Batches.ReadValues(again.Log("t", 2)));
    }

    [Fact]
    public async Task Nothing_is_assigned_where_one_process_leads_all()
    {
        await using NodeParts parts = await StartAsync();
        var refused = await Assert.ThrowsAsync<ClusterException>(() => parts.Controller.CreateTopicAsync("t", 0, Plain, assigned: [0, 0]));
        Assert.Equal(ErrorCode.InvalidArgument, refused.Code);
        Assert.StartsWith("SC and SPU are one process here, which leads all partitions; leave --assign out, or run 'edgestream sc'", refused.Message, StringComparison.Ordinal);
        Assert.Empty(parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Second_topic_of_a_name_is_refused()
    {
        await using NodeParts parts = await StartAsync();
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        await AssertRefusedAsync(ErrorCode.TopicExists, () => parts.Controller.CreateTopicAsync("t", 1, Plain));
        await parts.Controller.CreateTopicAsync("T", 1, Plain);
        Assert.Equal(["T", "t"], parts.Controller.Current.Topics.Keys);
    }

    [Fact]
    public async Task Of_many_that_create_one_topic_at_once_one_succeeds()
    {
        await using NodeParts parts = await StartAsync();
        bool[] created = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            try
            {
                await parts.Controller.CreateTopicAsync("t", 1, Plain);
                return true;
            }
            catch (ClusterException exists) when (exists.Code == ErrorCode.TopicExists)
            {
                return false;
            }
        })));
        Assert.Single(created, true);
    }

    [Theory]
    [InlineData(false, false, -1)]
    [InlineData(false, false, 1001)]
    [InlineData(false, true, 2)]
    [InlineData(true, true, 1)]
    public async Task Partition_count_that_makes_no_sense_is_refused(bool isHub, bool mirror, int count)
    {
        await using NodeParts parts = await StartAsync(isHub);
        await AssertRefusedAsync(ErrorCode.InvalidArgument, () => parts.Controller.CreateTopicAsync("t", count, mirror ? Mirror : Plain));
        Assert.Empty(parts.Controller.Current.Topics);
    }

    [Theory]
    [InlineData(false, false, 1)]
    [InlineData(false, true, 1)]
    [InlineData(true, false, 1)]
    [InlineData(true, true, 0)]
    public async Task Partition_count_that_is_not_given_is_what_the_node_needs(bool isHub, bool mirror, int expected)
    {
        await using NodeParts parts = await StartAsync(isHub);
        Assert.Equal(expected, (await parts.Controller.CreateTopicAsync("t", 0, mirror ? Mirror : Plain)).Partitions.Length);
    }

    [Fact]
    public async Task Mirror_topic_gets_one_partition_for_each_geo_location()
    {
        await using NodeParts parts = await StartAsync(isHub: true);
        PartitionId north = await parts.Controller.EnsureMirrorPartitionAsync("t", "north");
        PartitionId south = await parts.Controller.EnsureMirrorPartitionAsync("t", "south");
        Assert.Equal((0, 1), (north.Partition, south.Partition));
        Assert.Equal(north, await parts.Controller.EnsureMirrorPartitionAsync("t", "north"));

        await parts.Controller.CreateTopicAsync("plain", 1, Plain);
        await AssertRefusedAsync(ErrorCode.TopicExists, () => parts.Controller.EnsureMirrorPartitionAsync("plain", "north"));
        await Assert.ThrowsAsync<InvalidNameException>(() => parts.Controller.EnsureMirrorPartitionAsync("../t", "north"));
    }

    [Fact]
    public async Task Deleted_topic_is_gone_with_its_directory()
    {
        await using NodeParts parts = await StartAsync();
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        await parts.Controller.DeleteTopicAsync("t");
        Assert.Empty(parts.Spu.Partitions);
        Assert.Empty(Directory.GetDirectories(_temp.Sub("topics")));
        await AssertRefusedAsync(ErrorCode.TopicNotFound, () => parts.Controller.DeleteTopicAsync("t"));
        Assert.Equal(ErrorCode.TopicNotFound, Assert.Throws<ClusterException>(() => parts.Log("t")).Code);
    }

    [Fact]
    public async Task Topic_made_again_starts_anew_as_another_log()
    {
        await using NodeParts parts = await StartAsync();
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        PartitionLog old = parts.Log("t");
        await old.AppendAsync(Batches.Of("old"), AckLevel.Durable);
        Task tail = old.WaitForDurableAsync(2, CancellationToken.None).AsTask();
        await parts.Controller.DeleteTopicAsync("t");
        await Assert.ThrowsAsync<LogClosedException>(() => tail.InTimeAsync());

        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        Assert.Equal(0, parts.Log("t").Offsets.End);
        Assert.NotEqual(old.Manifest.Incarnation, parts.Log("t").Manifest.Incarnation);
    }

    [Fact]
    public async Task Topic_whose_directory_is_gone_can_be_deleted()
    {
        await using NodeParts parts = await StartAsync();
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        Directory.Delete(_temp.Sub("topics/t"), recursive: true);
        await parts.Controller.DeleteTopicAsync("t");
        Assert.Empty(parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Directory_that_belongs_to_no_topic_is_set_aside()
    {
        Directory.CreateDirectory(_temp.Sub("topics/stray/0"));
        await File.WriteAllTextAsync(_temp.Sub("topics/stray/0/data"), "precious");
        await (await StartAsync()).DisposeAsync();
        Directory.CreateDirectory(_temp.Sub("topics/.deleted-t-1/0"));
        Directory.CreateDirectory(_temp.Sub("topics/late/0"));
        await using NodeParts parts = await StartAsync();

        string[] left = [.. Directory.GetDirectories(_temp.Sub("topics")).Select(path => Path.GetFileName(path)).Order()];
        Assert.Equal(2, left.Length);
        Assert.StartsWith(".orphan-late-", left[0], StringComparison.Ordinal);
        Assert.StartsWith(".orphan-stray-", left[1], StringComparison.Ordinal);
        Assert.Equal("precious", await File.ReadAllTextAsync(Path.Combine(_temp.Sub("topics"), left[1], "0", "data")));
        await parts.Controller.CreateTopicAsync("stray", 1, Plain);
        Assert.Equal(0, parts.Log("stray").Offsets.End);
    }

    [Fact]
    public async Task Partition_that_cannot_be_opened_does_not_stop_the_others()
    {
        await using (NodeParts parts = await StartAsync())
        {
            await parts.Controller.CreateTopicAsync("t", 2, Plain);
            foreach (Partition partition in parts.Spu.Partitions)
                await partition.Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        }

        string manifest = _temp.Sub("topics/t/0/partition.json");
        string newer = (await File.ReadAllTextAsync(manifest)).Replace("\"formatVersion\": 1", "\"formatVersion\": 2", StringComparison.Ordinal);
        await File.WriteAllTextAsync(manifest, newer);
        await using NodeParts again = await StartAsync();
        Assert.Equal(ErrorCode.StorageFailed, Assert.Throws<ClusterException>(() => again.Log("t", 0)).Code);
        Assert.Contains("format version 2", again.Spu.Partitions[0].Problem, StringComparison.Ordinal);
        Assert.Equal(["a"], Batches.ReadValues(again.Log("t", 1)));
        await again.Log("t", 1).AppendAsync(Batches.Of("b"), AckLevel.Durable);
    }

    [Fact]
    public async Task Lost_segments_are_told_of_and_the_partition_goes_on()
    {
        await using (NodeParts parts = await StartAsync())
        {
            await parts.Controller.CreateTopicAsync("t", 1, Plain);
            await parts.Log("t").AppendAsync(Batches.Of("a", "b"), AckLevel.Durable);
        }

        File.Delete(_temp.Sub("topics/t/0/00000000000000000000.log"));
        await using NodeParts again = await StartAsync();
        Assert.Equal(2, Assert.Single(again.Log("t").Gaps).Records);
        Assert.Contains("edgestream gaps", again.Spu.Partitions[0].Problem, StringComparison.Ordinal);
        Assert.Equal(2, (await again.Log("t").AppendAsync(Batches.Of("c"), AckLevel.Durable)).BaseOffset);
    }

    [Fact]
    public async Task Altered_settings_reach_the_log_and_survive_the_loss_of_the_metadata()
    {
        TopicSettings wanted = new()
        {
            RetentionBytes = 32 << 20,
            RetentionAge = TimeSpan.FromDays(7),
            Overflow = OverflowPolicy.Reject,
            Sync = SyncPolicy.Every(TimeSpan.FromSeconds(1)),
        };
        await using (NodeParts parts = await StartAsync())
        {
            await parts.Controller.CreateTopicAsync("t", 1, Plain);
            parts.Log("t").SaveSetting("somebody-elses", "stays");
            await parts.Controller.AlterTopicAsync("t", _ => wanted);
            Assert.Equal(wanted.ToLogSettings(isHub: false), parts.Log("t").Settings);
        }

        File.Delete(_temp.Sub("metadata.db"));
        await using (NodeParts parts = await StartAsync())
        {
            Assert.Equal(wanted, parts.Controller.Current.Topics["t"].Settings);
            Assert.Equal("stays", parts.Log("t").Manifest.Settings["somebody-elses"]);
            await parts.Controller.AlterTopicAsync("t", _ => Plain);
        }

        File.Delete(_temp.Sub("metadata.db"));
        await using NodeParts last = await StartAsync();
        Assert.Equal(Plain, last.Controller.Current.Topics["t"].Settings);
    }

    [Fact]
    public async Task Bound_below_what_is_stored_is_refused_with_the_numbers_and_nothing_changes()
    {
        await using NodeParts parts = await StartAsync();
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        for (int i = 0; i < 5; i++)
            await parts.Log("t").AppendAsync(Batches.Of(new string('x', 4_000_000)), AckLevel.Durable);

        long size = parts.Log("t").SizeInBytes();
        string refusal = (await Assert.ThrowsAsync<ClusterException>(
            () => parts.Controller.AlterTopicAsync("t", settings => settings with { RetentionBytes = 16 << 20 }))).Message;
        Assert.Contains($"{size}", refusal, StringComparison.Ordinal);
        Assert.Contains($"{16 << 20}", refusal, StringComparison.Ordinal);
        Assert.Equal((Plain, size), (parts.Controller.Current.Topics["t"].Settings, parts.Log("t").SizeInBytes()));
        await AssertRefusedAsync(
            ErrorCode.InvalidArgument, () => parts.Controller.AlterTopicAsync("t", settings => settings with { RetentionBytes = 1000 }));
        await AssertRefusedAsync(ErrorCode.TopicNotFound, () => parts.Controller.AlterTopicAsync("nope", settings => settings));
    }

    [Fact]
    public async Task Topic_that_the_budget_has_no_room_for_is_refused()
    {
        await using NodeParts parts = await NodeParts.StartAsync(
            _temp.Path, options: new LogOptions { SegmentBytes = 1 << 20 }, resources: new LogResources { Budget = new DiskBudget(4 << 20) });
        await parts.Controller.CreateTopicAsync("t", 3, Plain);
        await AssertRefusedAsync(ErrorCode.StorageFull, () => parts.Controller.CreateTopicAsync("u", 2, Plain));
        Assert.False(parts.Controller.Current.Topics.ContainsKey("u"));
    }

    [Fact]
    public async Task Each_change_ends_the_wait_for_it()
    {
        await using NodeParts parts = await StartAsync();
        TopologyMap known = parts.Controller.Current;
        Task changed = parts.Controller.WaitForChangeAsync(known, CancellationToken.None);
        await parts.Controller.CreateTopicAsync("t", 1, Plain);
        await changed.InTimeAsync();
        await parts.Controller.WaitForChangeAsync(known, CancellationToken.None).InTimeAsync();
        Assert.False(parts.Controller.WaitForChangeAsync(parts.Controller.Current, CancellationToken.None).IsCompleted);
    }

    private Task<NodeParts> StartAsync(bool isHub = false) => NodeParts.StartAsync(_temp.Path, isHub);

    private static async Task AssertRefusedAsync(ErrorCode code, Func<Task> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<ClusterException>(call)).Code);
}
