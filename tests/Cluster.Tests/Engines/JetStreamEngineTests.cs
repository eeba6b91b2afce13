using System.Collections.Immutable;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Harness;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>What only the JetStream engine has to deal with: other writers, servers that are not there, and what else lies in them.</summary>
public sealed class JetStreamEngineTests(NatsFixture nats) : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _clusterId = Guid.NewGuid().ToString("N");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Of_two_writers_the_earlier_one_is_refused_and_nothing_is_written_twice()
    {
        await using EngineUnderTest first = await EngineAsync("first"), second = await EngineAsync("second");
        IPartitionLog before = await first.OpenAsync();
        await before.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        IPartitionLog after = await second.OpenAsync();
        var refused = await Assert.ThrowsAsync<ClusterException>(() => before.AppendAsync(Batches.Of("x"), AckLevel.Durable).AsTask().InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);
        Assert.Contains("another writer", refused.Message, StringComparison.Ordinal);
        Assert.NotNull(before.Failure);
        await Assert.ThrowsAsync<ClusterException>(() => before.AppendAsync(Batches.Of("y"), AckLevel.Durable).AsTask().InTimeAsync());
        await after.AppendAsync(Batches.Of("b"), AckLevel.Durable);

        IPartitionLog again = await first.ReopenAsync();
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(again));
        Assert.Equal(new AppendedRange(2, 2), await again.AppendAsync(Batches.Of("c"), AckLevel.Durable));
        await Assert.ThrowsAsync<ClusterException>(() => after.AppendAsync(Batches.Of("z"), AckLevel.Durable).AsTask().InTimeAsync());
        Assert.Equal(["a", "b", "c"], await Batches.ReadValuesAsync(again));
    }

    [Fact]
    public async Task Servers_that_are_away_are_told_of_before_there_is_a_partition()
    {
        using var server = new NatsServer(_directory.Path);
        await using IPartitionEngine engine = EngineUnderTest.JetStream(_directory.Path, [server.Url]);
        await engine.StartAsync(TopologyMap.Unknown with { ClusterId = _clusterId });
        await Condition.WaitAsync(
            () => $"it says that there is none: {engine.Problem}",
            () => Task.FromResult(engine.Problem?.StartsWith($"NATS at {server.Url}: no server can be reached", StringComparison.Ordinal) == true));
        await server.StartAsync();
        await Condition.WaitAsync(() => $"it has found it: {engine.Problem}", () => Task.FromResult(engine.Problem is null));
        server.Kill();
        await Condition.WaitAsync(() => "it says that it is gone", () => Task.FromResult(engine.Problem is not null));
    }

    [Fact]
    public async Task What_is_stored_can_be_seen_without_taking_the_writers_place()
    {
        await using EngineUnderTest writer = await EngineAsync("writer");
        await using var onlooker = new JetStreamEngine(
            _directory.At("onlooker"), new JetStreamOptions([(await nats.SingleAsync()).Url]), NullLogger.Instance);
        Directory.CreateDirectory(_directory.At("onlooker"));
        await onlooker.StartAsync(writer.Topology);
        Assert.Null(await onlooker.FindStoredAsync(writer.Id));

        IPartitionLog log = await writer.OpenAsync();
        await log.SaveSettingsAsync(new Dictionary<string, string?> { ["edge-incarnation"] = "this one" });
        Assert.Equal((0, "this one"), Of(await onlooker.FindStoredAsync(writer.Id)));
        await log.AppendAsync(Batches.Of("a", "b"), AckLevel.Durable);
        Assert.Equal((2, "this one"), Of(await onlooker.FindStoredAsync(writer.Id)));

        await log.AppendAsync(Batches.Of("c"), AckLevel.Durable);
        Assert.Null(log.Failure);
        await writer.CloseAsync();
        Assert.Equal((3, "this one"), Of(await onlooker.FindStoredAsync(writer.Id)));
        await writer.DeleteAsync();
        Assert.Null(await onlooker.FindStoredAsync(writer.Id));

        static (long, string) Of(StoredLog? stored) => (stored!.End, stored.Settings["edge-incarnation"]);
    }

    [Fact]
    public async Task Writer_that_was_overtaken_with_much_on_its_way_is_told_of_each_record()
    {
        await using EngineUnderTest first = await EngineAsync("first"), second = await EngineAsync("second");
        IPartitionLog before = await first.OpenAsync();
        var appends = new List<Task<AppendedRange>>();
        IPartitionLog? after = null;
        for (int i = 0; i < 2000; i++)
        {
            try
            {
                appends.Add(await before.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Durable));
            }
            catch (ClusterException)
            {
                break;
            }

            if (i == 1000)
                after = await second.OpenAsync();
        }

        await Task.WhenAll(appends).ContinueWith(_ => { }, TaskScheduler.Default).InTimeAsync();
        string[] acknowledged = [.. appends.Select((append, i) => (append, i)).Where(one => one.append.IsCompletedSuccessfully).Select(one => $"{one.i}")];
        IPartitionLog found = after ?? await second.OpenAsync();
        Assert.Equal(acknowledged, await Batches.ReadValuesAsync(found));
    }

    [Fact]
    public async Task Acknowledgement_that_is_lost_costs_no_record_and_makes_none_twice()
    {
        NatsServer server = await nats.SingleAsync();
        using var link = new FaultyLink(server.Port);
        await using EngineUnderTest engine = await EngineAsync("one", [$"nats://127.0.0.1:{link.Port}"]);
        IPartitionLog log = await engine.OpenAsync();
        var appends = new List<Task<AppendedRange>>();
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < 300; i++)
            {
                if (i == 100)
                    link.Fault = round == 0 ? LinkFault.NoAnswers : LinkFault.Cut;

                appends.Add(await log.EnqueueAsync(Batches.Of($"{appends.Count}"), AckLevel.Durable));
            }

            Assert.False(appends[^1].IsCompleted);
            link.Fault = LinkFault.None;
            await Task.WhenAll(appends).InTimeAsync();
        }

        Assert.Equal(Enumerable.Range(0, 600).Select(i => $"{i}"), await Batches.ReadValuesAsync(log));
        Assert.Equal(Enumerable.Range(0, 600).Select(i => new AppendedRange(i, i)), await Task.WhenAll(appends));
    }

    [Fact]
    public async Task Writer_does_not_go_on_in_a_stream_that_was_made_anew_under_its_name()
    {
        NatsServer server = await nats.SingleAsync();
        using var link = new FaultyLink(server.Port);
        await using EngineUnderTest engine = await EngineAsync("one", [$"nats://127.0.0.1:{link.Port}"]);
        IPartitionLog log = await engine.OpenAsync();
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        link.Fault = LinkFault.NoAnswers;
        Task<AppendedRange> unanswered = await log.EnqueueAsync(Batches.Of("b"), AckLevel.Durable);

        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var jetStream = new NatsJSContext(connection);
        var names = StreamNames.Of(_clusterId, engine.Id);
        StreamConfig config = (await jetStream.GetStreamAsync(names.Stream)).Info.Config;
        await Condition.WaitAsync(
            () => "the message has come", async () => (await jetStream.GetStreamAsync(names.Stream)).Info.State.LastSeq == 3);
        await jetStream.DeleteStreamAsync(names.Stream);
        config.Description = names.Describe(log.Manifest with { Incarnation = Guid.NewGuid() });
        await jetStream.CreateStreamAsync(config);
        for (int i = 0; i < 2; i++)
            (await jetStream.PublishAsync(names.Epoch, StreamMessage.EncodeEpoch(0, Guid.NewGuid()))).EnsureSuccess();

        link.Fault = LinkFault.Cut;
        link.Fault = LinkFault.None;
        var lost = await Assert.ThrowsAsync<ClusterException>(() => unanswered.InTimeAsync());
        Assert.Contains("is gone", lost.Message, StringComparison.Ordinal);
        Assert.Equal(2, (long)(await jetStream.GetStreamAsync(names.Stream)).Info.State.LastSeq);
    }

    [Fact]
    public async Task Stream_that_somebody_has_deleted_is_not_made_anew_but_by_who_deletes_the_topic()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        IPartitionLog log = await engine.OpenAsync();
        await log.AppendAsync(Batches.Of("a", "b"), AckLevel.Durable);
        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var jetStream = new NatsJSContext(connection);
        string stream = StreamNames.Of(_clusterId, engine.Id).Stream;
        await jetStream.DeleteStreamAsync(stream);
        string reason = $"the NATS stream '{stream}', which had this partition, is gone, and a new one would give out the same offsets again; "
            + "restore it from a copy, or delete the topic and make it again";

        // Whichever process comes, and however often.
        await engine.CloseAsync();
        await using EngineUnderTest successor = await EngineAsync("two");
        foreach (EngineUnderTest one in (EngineUnderTest[])[engine, engine, successor])
            Assert.Equal(reason, (await Assert.ThrowsAsync<PartitionDamagedException>(one.OpenOnceAsync)).Message);

        Assert.DoesNotContain(stream, await jetStream.ListStreamNamesAsync().ToListAsync());

        // Another topic of the name is another log, and what is there again is as it was left.
        await engine.DeleteAsync();
        log = await engine.OpenAsync();
        Assert.Equal(new AppendedRange(0, 0), await log.AppendAsync(Batches.Of("c"), AckLevel.Durable));
        StreamConfig config = (await jetStream.GetStreamAsync(stream)).Info.Config;
        await engine.CloseAsync();
        await jetStream.DeleteStreamAsync(stream);
        await Assert.ThrowsAsync<PartitionDamagedException>(engine.OpenOnceAsync);
        await jetStream.CreateStreamAsync(config);
        await engine.OpenOnceAsync();
    }

    [Fact]
    public async Task Stream_of_before_this_was_written_down_is_not_made_anew_once_it_was_opened()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        await (await engine.OpenAsync()).AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var jetStream = new NatsJSContext(connection);
        string stream = StreamNames.Of(_clusterId, engine.Id).Stream, bucket = $"edgestream-{_clusterId[..12]}";
        await jetStream.PurgeStreamAsync($"KV_{bucket}", new StreamPurgeRequest { Filter = $"$KV.{bucket}.opened.>" });
        await engine.ReopenAsync();
        await engine.CloseAsync();
        await jetStream.DeleteStreamAsync(stream);
        await Assert.ThrowsAsync<PartitionDamagedException>(engine.OpenOnceAsync);
    }

    [Fact]
    public async Task Topic_whose_stream_somebody_has_deleted_leaves_nothing_behind_when_it_goes()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        await (await engine.OpenAsync()).SaveSettingsAsync(new Dictionary<string, string?> { ["x"] = "1" });
        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var jetStream = new NatsJSContext(connection);
        string bucket = $"KV_edgestream-{_clusterId[..12]}";
        Assert.NotEqual(0, (await jetStream.GetStreamAsync(bucket)).Info.State.Messages);
        await engine.CloseAsync();
        await jetStream.DeleteStreamAsync(StreamNames.Of(_clusterId, engine.Id).Stream);
        await engine.DeleteAsync();
        Assert.Equal(0, (await jetStream.GetStreamAsync(bucket)).Info.State.Messages);

        // Nor is it missed where nothing was kept at all.
        await jetStream.DeleteStreamAsync(bucket);
        await engine.DeleteAsync();
    }

    [Fact]
    public async Task Servers_that_stay_away_end_the_log_which_is_opened_anew_when_they_are_back()
    {
        NatsServer server = await nats.SingleAsync();
        using var link = new FaultyLink(server.Port);
        string address = $"nats://127.0.0.1:{link.Port}";
        await using var spu = new LocalSpu(
            1, EngineUnderTest.JetStream(_directory.Path, [address], patience: TimeSpan.FromSeconds(1)), NullLogger<LocalSpu>.Instance, isHub: true);
        TopologyMap topology = Topology();
        await spu.StartAsync(topology);
        await OpensAsync(spu, topology);
        Partition partition = spu.Partitions[0];
        await partition.Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        link.Fault = LinkFault.Cut;
        var gone = await Assert.ThrowsAsync<ClusterException>(() => partition.Log.AppendAsync(Batches.Of("b"), AckLevel.Durable).AsTask().InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, gone.Code);
        Assert.True(spu.HasClosed);
        Assert.False(await spu.ReopenAsync(topology));
        Assert.Contains(address, spu.Partitions[0].Problem, StringComparison.Ordinal);

        link.Fault = LinkFault.None;
        await OpensAsync(spu, topology);
        IPartitionLog log = spu.Partitions[0].Log;
        await log.AppendAsync(Batches.Of("c"), AckLevel.Durable);
        Assert.Contains(string.Join(',', await Batches.ReadValuesAsync(log)), (string[])["a,c", "a,b,c"]);
    }

    [Fact]
    public async Task Node_starts_without_its_servers_and_opens_its_partitions_when_they_come()
    {
        using var server = new NatsServer(_directory.Path, "late");
        await using var spu = new LocalSpu(1, EngineUnderTest.JetStream(_directory.At("data"), [server.Url]), NullLogger<LocalSpu>.Instance, isHub: true);
        Directory.CreateDirectory(_directory.At("data"));
        TopologyMap topology = Topology();
        await spu.StartAsync(topology).InTimeAsync();
        Assert.Contains("no server can be reached", spu.Partitions[0].Problem, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<ClusterException>(() => spu.CheckReplicasAsync(2).AsTask())).Code);

        await server.StartAsync();
        await OpensAsync(spu, topology);
        await spu.Partitions[0].Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
    }

    [Fact]
    public async Task Server_without_JetStream_is_named_as_the_reason()
    {
        using var server = new NatsServer(_directory.Path, "plain", jetStream: false);
        await server.StartAsync();
        await using EngineUnderTest engine = await EngineAsync("one", [server.Url], TimeSpan.Zero);
        var refused = await Assert.ThrowsAsync<ClusterException>(() => engine.OpenOnceAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);
        Assert.Contains("JetStream is not enabled", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wrong_password_is_named_as_the_reason()
    {
        using var server = new NatsServer(_directory.Path, "guarded", settings: "authorization { user: hub, password: right }");
        await server.StartAsync();
        await using var engine = new JetStreamEngine(
            _directory.Path, new JetStreamOptions([server.Url]) { User = "hub", Password = "wrong", AnswerTimeout = TimeSpan.FromSeconds(2) }, NullLogger.Instance);
        await engine.StartAsync(Topology());
        var refused = await Assert.ThrowsAsync<ClusterException>(() => engine.OpenAsync(new PartitionId("t", 0), Topic(), Topic().Partitions[0]).AsTask());
        Assert.Contains("Authorization Violation", refused.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Foreign_stream_of_the_same_name_is_refused_and_left_alone()
    {
        NatsServer server = await nats.SingleAsync();
        await using EngineUnderTest engine = await EngineAsync("one");
        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var jetStream = new NatsJSContext(connection);
        string name = $"edgestream-{_clusterId[..12]}-readings=raw-0";
        await jetStream.CreateStreamAsync(new StreamConfig(name, [$"edgestream.{_clusterId[..12]}.readings=raw.0.*"]) { Description = "somebody's" });
        var refused = await Assert.ThrowsAsync<ClusterException>(() => engine.OpenOnceAsync());
        Assert.Contains($"'{name}'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("not this hub's", refused.Message, StringComparison.Ordinal);
        Assert.Equal("somebody's", (await jetStream.GetStreamAsync(name)).Info.Config.Description);

        await jetStream.DeleteStreamAsync(name);
        await engine.OpenOnceAsync();
    }

    [Theory]
    [InlineData("epoch", "the message at sequence 3 of the stream")]
    [InlineData("data", "the message at sequence 3 of the stream")]
    [InlineData("gap", "the message at sequence 3 of the stream")]
    [InlineData("settings", "invalid start of a value")]
    public async Task What_somebody_else_has_written_closes_one_partition_and_no_other(string kind, string reason)
    {
        NatsServer server = await nats.SingleAsync();
        TopologyMap one = Topology();
        var topology = new TopologyMap(_clusterId, [], one.GeoLocations, one.Topics.Add("u", Topic() with { Name = "u" }));
        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var jetStream = new NatsJSContext(connection);
        var names = StreamNames.Of(_clusterId, new PartitionId("t", 0));
        string subject = $"{names.Subject}.{kind}";
        await using (LocalSpu first = Spu())
        {
            await first.StartAsync(topology);
            await OpensAsync(first, topology);
            await first.Partitions[0].Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
            if (kind == "settings")
                subject = $"$KV.{ClusterPrefix.Of(_clusterId)}.{first.Partitions[0].Log.Manifest.Incarnation:N}.settings";
        }

        (await jetStream.PublishAsync(subject, new byte[] { 1 })).EnsureSuccess();
        await using LocalSpu spu = Spu();
        await spu.StartAsync(topology);
        await Condition.WaitAsync(
            () => $"the other opens: {spu.Partitions[1].Problem}",
            async () =>
            {
                await spu.ReopenAsync(topology);
                return spu.Partitions[1].IsOpen;
            });
        Assert.False(spu.Partitions[0].IsOpen);
        Assert.Contains(reason, spu.Partitions[0].Problem, StringComparison.Ordinal);
        if (kind != "epoch")
            return;

        Assert.Contains($"nats stream purge {names.Stream} --subject {names.Epoch}", spu.Partitions[0].Problem, StringComparison.Ordinal);
        await jetStream.PurgeStreamAsync(names.Stream, new StreamPurgeRequest { Filter = names.Epoch });
        await OpensAsync(spu, topology);
        Assert.Equal(1, (await spu.Partitions[0].Log.AppendAsync(Batches.Of("b"), AckLevel.Durable)).BaseOffset);
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(spu.Partitions[0].Log));

        LocalSpu Spu() => new(1, EngineUnderTest.JetStream(_directory.Path, [server.Url]), NullLogger<LocalSpu>.Instance, isHub: true);
    }

    [Fact]
    public async Task More_replicas_than_servers_are_refused_with_the_way_to_get_them()
    {
        NatsServer server = await nats.SingleAsync();
        await using IPartitionEngine engine = EngineUnderTest.JetStream(_directory.Path, [server.Url]);
        await engine.StartAsync(Topology());
        Assert.Equal(ErrorCode.InvalidArgument, (await Assert.ThrowsAsync<ClusterException>(() => engine.CheckReplicasAsync(3).AsTask())).Code);

        // With a bucket that is there already, too.
        await engine.CloseAsync(await engine.OpenAsync(new PartitionId("t", 0), Topic(), Topic().Partitions[0]));
        var refused = await Assert.ThrowsAsync<ClusterException>(() => engine.CheckReplicasAsync(3).AsTask());
        Assert.Equal(ErrorCode.InvalidArgument, refused.Code);
        Assert.Contains("3 replicas need as many NATS servers", refused.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(3, null, "3 replicas need as many NATS servers")]
    [InlineData(1, 1L << 50, "NATS refuses the settings")]
    public async Task Settings_that_the_servers_refuse_leave_the_partition_in_use_and_are_shown(int replicas, long? bytes, string reason)
    {
        NatsServer server = await nats.SingleAsync();
        TopologyMap before = Topology();
        await using (LocalSpu first = Spu())
        {
            await first.StartAsync(before);
            await OpensAsync(first, before);
            await first.Partitions[0].Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        }

        TopologyMap altered = Topology(new TopicSettings { Replicas = replicas, RetentionBytes = bytes });
        await using LocalSpu spu = Spu();
        await spu.StartAsync(altered);
        await Condition.WaitAsync(
            () => $"the partition opens: {spu.Partitions[0].Problem}",
            async () =>
            {
                await spu.ReopenAsync(altered);
                return spu.Partitions[0].IsOpen;
            });
        Partition partition = spu.Partitions[0];
        Assert.Contains(reason, partition.Problem, StringComparison.Ordinal);
        Assert.True(spu.HasClosed);
        await partition.Log.AppendAsync(Batches.Of("b"), AckLevel.Durable);
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(partition.Log));

        await OpensAsync(spu, before);
        Assert.Null(partition.Problem);

        LocalSpu Spu() => new(1, EngineUnderTest.JetStream(_directory.Path, [server.Url]), NullLogger<LocalSpu>.Instance, isHub: true);
    }

    [Fact]
    public async Task Batch_larger_than_a_message_may_be_is_refused_with_the_setting_to_raise()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        IPartitionLog log = await engine.OpenAsync();
        byte[] large = Batches.Of(new string('x', 1_100_000));
        var refused = await Assert.ThrowsAsync<ClusterException>(() => log.AppendAsync(large, AckLevel.Durable).AsTask());
        Assert.Equal(ErrorCode.InvalidArgument, refused.Code);
        Assert.Contains("raise max_payload", refused.Message, StringComparison.Ordinal);
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
    }

    [Fact]
    public async Task Topic_is_deleted_with_its_streams_or_not_at_all()
    {
        NatsServer server = await nats.SingleAsync();
        using var link = new FaultyLink(server.Port);
        await using NodeParts parts = await NodeParts.StartAsync(
            _directory.Path, isHub: true, engine: EngineUnderTest.JetStream(_directory.Path, [$"nats://127.0.0.1:{link.Port}"]));
        await parts.Controller.CreateTopicAsync("t", 2, new TopicSettings());
        await parts.Controller.GetPartition("t", 1).Log.AppendAsync(Batches.Of("a"), AckLevel.Durable);

        link.Fault = LinkFault.Cut;
        var refused = await Assert.ThrowsAsync<ClusterException>(() => parts.Controller.DeleteTopicAsync("t").InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);
        Assert.True(parts.Controller.Current.Topics.ContainsKey("t"));

        link.Fault = LinkFault.None;
        await OpensAsync(parts.Spu, parts.Controller.Current);
        Assert.Equal(["a"], await Batches.ReadValuesAsync(parts.Controller.GetPartition("t", 1).Log));
        await parts.Controller.DeleteTopicAsync("t");
        await parts.Controller.CreateTopicAsync("t", 2, new TopicSettings());
        Assert.Equal(0, parts.Controller.GetPartition("t", 1).Log.Offsets.End);
    }

    [Fact]
    public async Task Hub_does_not_start_on_another_engine_than_the_one_that_has_its_records()
    {
        NatsServer server = await nats.SingleAsync();
        await using (NodeParts parts = await NodeParts.StartAsync(_directory.At("log"), isHub: true))
            await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());

        await using (NodeParts parts = await NodeParts.StartAsync(
            _directory.At("nats"), isHub: true, engine: EngineUnderTest.JetStream(_directory.At("nats"), [server.Url])))
        {
            await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings());
        }

        var refused = await Assert.ThrowsAsync<EdgeStreamException>(() => NodeParts.StartAsync(
            _directory.At("log"), isHub: true, engine: EngineUnderTest.JetStream(_directory.At("log"), [server.Url])));
        Assert.Contains("storage.engine \"log\"", refused.Message, StringComparison.Ordinal);
        refused = await Assert.ThrowsAsync<EdgeStreamException>(() => NodeParts.StartAsync(_directory.At("nats"), isHub: true));
        Assert.Contains("storage.engine \"jetstream\"", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Retention_moves_the_start_and_keeps_the_end_however_old_it_is()
    {
        var time = new ManualTime { Date = DateTimeOffset.UtcNow };
        await using EngineUnderTest engine = await EngineAsync("one", time: time);
        IPartitionLog log = await engine.OpenAsync();
        for (int i = 0; i < 20; i++)
            await log.AppendAsync(Batches.Of(new string('x', 10_000)), AckLevel.Durable);

        using IPartitionReader slow = log.OpenReader(0);
        await log.ChangeSettingsAsync(new LogSettings { RetentionBytes = 64 * 1024 });
        await ((JetStreamLog)log).MaintainAsync();
        Assert.InRange(log.StartOffset, 13, 16);
        await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => slow.ReadAsync(1024).AsTask());
        Assert.Throws<OffsetOutOfRangeException>(() => log.OpenReader(0));

        await log.ChangeSettingsAsync(new LogSettings { RetentionAge = TimeSpan.FromMinutes(1) });
        time.Advance(TimeSpan.FromSeconds(30));
        await ((JetStreamLog)log).MaintainAsync();
        Assert.InRange(log.StartOffset, 13, 16);
        time.Advance(TimeSpan.FromHours(1));
        await ((JetStreamLog)log).MaintainAsync();
        Assert.Equal(19, log.StartOffset);
        log = await engine.ReopenAsync();
        Assert.Equal((19, 20L), (log.StartOffset, log.Offsets.End));
        Assert.Equal(20, (await log.AppendAsync(Batches.Of("next"), AckLevel.Durable)).BaseOffset);
    }

    [Fact]
    public async Task Wrong_date_of_this_machine_makes_no_record_old()
    {
        var time = new ManualTime { Date = DateTimeOffset.UtcNow + TimeSpan.FromDays(8) };
        await using EngineUnderTest engine = await EngineAsync("one", time: time);
        IPartitionLog log = await engine.OpenAsync();
        await log.ChangeSettingsAsync(new LogSettings { RetentionAge = TimeSpan.FromDays(7) });
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await log.AppendAsync(Batches.Of("b"), AckLevel.Durable);
        await ((JetStreamLog)log).MaintainAsync();
        time.Advance(TimeSpan.FromDays(6));
        await ((JetStreamLog)log).MaintainAsync();
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(log));

        time.Advance(TimeSpan.FromDays(2));
        await ((JetStreamLog)log).MaintainAsync();
        Assert.Equal(1, log.StartOffset);
    }

    [Fact]
    public async Task Producer_that_waits_for_the_copy_is_told_of_a_record_that_is_lost_between_others()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        var log = (JetStreamLog)await engine.OpenAsync();
        byte[] batches = [.. Batches.Of("a"), .. Batches.Of("b"), .. Batches.Of("c")];
        Task<AppendedRange> waiting = await log.EnqueueAsync(batches, AckLevel.Mirrored);
        await log.WaitForDurableAsync(3, CancellationToken.None).InTimeAsync();
        await log.NoteMissingAsync(1, 2);
        log.SetMirrored(3);
        await Assert.ThrowsAsync<RecordsLostException>(() => waiting.InTimeAsync());
    }

    [Fact]
    public async Task What_retention_takes_is_lost_as_far_as_it_was_not_known_to_be_missing_already()
    {
        await using EngineUnderTest engine = await EngineAsync("one");
        var log = (JetStreamLog)await engine.OpenAsync();
        await log.ChangeSettingsAsync(new LogSettings { IsMirrored = true });
        for (int i = 0; i < 20; i++)
            await log.AppendAsync(Batches.Of(new string('x', 10_000)), AckLevel.Durable);

        await log.NoteMissingAsync(0, 3);
        await log.ChangeSettingsAsync(new LogSettings { IsMirrored = true, RetentionBytes = 64 * 1024 });
        await log.MaintainAsync();
        Assert.InRange(log.StartOffset, 13, 16);
        Assert.Equal(log.StartOffset, log.LostRecordsFrom(0));
    }

    [Fact]
    public void Names_of_topics_cannot_meet_in_those_of_streams()
    {
        string[] topics = ["a.b", "a-b", "a-b-1", "A.b", new string('x', 240), new string('x', 241), new string('x', 239) + "."];
        var names = topics.Select(topic => StreamNames.Of(_clusterId, new PartitionId(topic, 1))).ToArray();
        Assert.Equal(topics.Distinct().Count(), names.Select(name => name.Stream).Distinct().Count());
        Assert.All(names, name => Assert.True(name.Stream.Length < 256 && !name.Stream.Contains('.', StringComparison.Ordinal)));
        Assert.All(names, name => Assert.Equal(4, name.Subject.Count(c => c == '.') + 1));
    }

    [Fact]
    public void Index_stays_small_and_leads_to_the_nearest_known_message()
    {
        var index = new SequenceIndex();
        for (int i = 1; i <= 100_000; i++)
            index.Add(new SequenceIndex.Entry(i, i * 10, i));

        (SequenceIndex.Entry? before, SequenceIndex.Entry? behind) = index.Around(entry => entry.BaseOffset <= 654_321);
        Assert.InRange(before!.Value.Sequence, 65_432 - 256, 65_432);
        Assert.InRange(behind!.Value.Sequence, 65_433, 65_432 + 256);
        index.RemoveBelow(90_000);
        Assert.Null(index.Around(entry => entry.BaseOffset <= 654_321).Before);
    }

    private static TopicInfo Topic(TopicSettings? settings = null) => new("t", settings ?? new TopicSettings(), [new PartitionInfo(0, 1)]);

    private static Task OpensAsync(LocalSpu spu, TopologyMap topology) => Condition.WaitAsync(
        () => $"the partition opens: {spu.Partitions[0].Problem}",
        async () =>
        {
            await spu.ReopenAsync(topology);
            return !spu.HasClosed;
        });

    private TopologyMap Topology(TopicSettings? settings = null) => new(
        _clusterId, [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty, ImmutableSortedDictionary<string, TopicInfo>.Empty.Add("t", Topic(settings)));

    private async Task<EngineUnderTest> EngineAsync(string name, IReadOnlyList<string>? servers = null, TimeSpan? patience = null, TimeProvider? time = null)
    {
        servers ??= [(await nats.SingleAsync()).Url];
        return new EngineUnderTest(
            _directory.At(name), _clusterId, new TopicSettings(), directory => EngineUnderTest.JetStream(directory, servers, patience, time: time));
    }
}
