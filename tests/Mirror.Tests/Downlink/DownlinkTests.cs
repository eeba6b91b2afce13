using System.Security.Cryptography.X509Certificates;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Microsoft.Extensions.Time.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Mirror.Tests.Downlink;

/// <summary>A hub and its edges over real TLS: what flows down, to whom, and what happens when either is another than before.</summary>
public sealed class DownlinkTests : IAsyncLifetime
{
    private const string Topic = "commands";

    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Backlog_and_what_is_produced_live_arrive_byte_for_byte_at_the_same_offsets()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        for (int i = 0; i < 200; i++)
            await _hub.SendDownAsync("north", Topic, Batches.Build(0, (CompressionCodec)(i % 5), Some($"{i}", 1 + (i % 4))));

        edge.StartUplink();
        await edge.HasAllOfAsync(_hub, Topic);
        for (int i = 0; i < 5; i++)
        {
            await _hub.SendDownAsync("north", Topic, Batches.Of($"live {i}", new string('x', 300_000)));
            await edge.HasAllOfAsync(_hub, Topic);
        }

        Partition atHub = _hub.Parts.Controller.GetPartition(Topic, 0);
        Assert.True(atHub.IsDown);
        Assert.Equal(atHub.Log.Offsets.Durable, atHub.Edge.Durable);
        Assert.Empty(edge.Log(Topic).Gaps);
    }

    [Fact]
    public async Task What_flows_down_waits_while_the_months_data_is_used_up()
    {
        var calendar = new FakeTimeProvider(new DateTimeOffset(2030, 6, 14, 12, 0, 0, TimeSpan.Zero));
        calendar.SetLocalTimeZone(TimeZoneInfo.Utc);
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        edge.StartUplink(InProcessEdge.Impatient with { DataPlan = new DataPlanOptions(300_000, new TimeOnly(22, 0), new TimeOnly(4, 0)) }, limitsTime: calendar);
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("in time"));
        await edge.HasAllOfAsync(_hub, Topic);

        for (int i = 0; i < 100; i++)
            await _hub.SendDownAsync("north", Topic, Batches.Of(new string('x', 100_000)));

        await Eventually.HoldsAsync(() => edge.DownlinkLogger.Lines.Any(line => line.Contains("nothing flows down", StringComparison.Ordinal)), "the edge follows no more");
        Assert.Contains("is used up", edge.Uplink.State.Waiting, StringComparison.Ordinal);
        Assert.InRange(edge.Log(Topic).Offsets.End, 2, 20);
        await _hub.SendDownAsync("north", Topic, Batches.Of("late"));

        Assert.InRange(edge.Uplink.State.WireReceivedBytes, 300_000, 2_000_000);
        Assert.True(edge.Uplink.State.Connected);

        calendar.SetUtcNow(new DateTimeOffset(2030, 6, 14, 23, 0, 0, TimeSpan.Zero));
        await edge.HasAllOfAsync(_hub, Topic);
    }

    [Fact]
    public async Task Each_edge_gets_its_own_and_one_that_is_not_chosen_gets_nothing()
    {
        await using InProcessEdge north = await InProcessEdge.JoinAsync(_hub, "north");
        await using InProcessEdge south = await InProcessEdge.JoinAsync(_hub, "south");
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.CreateDownTopicAsync("only-south", null, "south");
        await _hub.SendDownAsync("north", Topic, Batches.Of("for north"));
        await _hub.SendDownAsync("south", Topic, Batches.Of("for south", "again"));
        await _hub.SendDownAsync("south", "only-south", Batches.Of("secret"));
        await north.HasAllOfAsync(_hub, Topic);
        await south.HasAllOfAsync(_hub, Topic);
        await south.HasAllOfAsync(_hub, "only-south");
        Assert.Equal(["for north"], Batches.ReadValues(north.Log(Topic)));
        Assert.Equal(["for south", "again"], Batches.ReadValues(south.Log(Topic)));
        Assert.False(north.Parts.Controller.Current.Topics.ContainsKey("only-south"));
    }

    [Fact]
    public async Task Geo_location_that_joins_later_gets_what_flows_down_to_everybody()
    {
        await _hub.CreateDownTopicAsync(Topic);
        await using InProcessEdge late = await InProcessEdge.JoinAsync(_hub, "late");
        await _hub.SendDownAsync("late", Topic, Batches.Of("welcome"));
        await late.HasAllOfAsync(_hub, Topic);
        Assert.Equal(["welcome"], Batches.ReadValues(late.Log(Topic)));
    }

    [Fact]
    public async Task What_has_expired_is_not_sent_and_a_gap_keeps_its_offsets()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic, TimeSpan.FromMinutes(10));
        long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await _hub.SendDownAsync("north", Topic, Stamped(now, "kept"));
        for (int i = 0; i < 100; i++)
            await _hub.SendDownAsync("north", Topic, Stamped(now - 700_000, "late", "later"));

        await _hub.SendDownAsync("north", Topic, Batches.Build(0, CompressionCodec.None,
            [Make(now - 60_000, "its own is over", "30s"), Make(now - 3_000_000, "its own is longer", "1h")]));
        await _hub.SendDownAsync("north", Topic, Batches.Build(0, CompressionCodec.None, [Make(now - 60_000, "over", "30s")]));
        edge.StartUplink();
        await _hub.LogOf("north", Topic)!.WaitForMirroredAsync(204, CancellationToken.None).InTimeAsync();

        // Of a batch that counts, all goes down: it is verbatim.
        Assert.Equal(
            new SortedDictionary<long, string> { [0] = "kept", [201] = "its own is over", [202] = "its own is longer" },
            Batches.ReadRecords(edge.Log(Topic)));
        Assert.Equal(
            [(1L, 200L, GapReason.Expired), (203L, 203L, GapReason.Expired)],
            edge.Log(Topic).Gaps.Select(gap => (gap.First, gap.Last, gap.Reason)));
        Assert.Empty(_hub.LogOf("north", Topic)!.Gaps);
        Assert.Equal(TimeSpan.FromMinutes(10), edge.Parts.Controller.Current.Topics[Topic].Settings.TimeToLive);
    }

    [Fact]
    public async Task Hubs_clock_counts_and_a_change_of_the_time_to_live_is_told()
    {
        var time = new FakeTime();
        await _hub.StopServingAsync();
        _hub.Time = time;
        await _hub.StartServingAsync();
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic, TimeSpan.FromMinutes(1));
        await _hub.SendDownAsync("north", Topic, Stamped(time.Now.ToUnixTimeMilliseconds() - 59_000, "in time"));
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Empty(edge.Log(Topic).Gaps);
        Assert.InRange(edge.Clock.Now!.Value, time.Now.ToUnixTimeMilliseconds(), time.Now.ToUnixTimeMilliseconds() + 60_000);

        await _hub.Parts.Controller.AlterTopicAsync(Topic, settings => settings with { TimeToLive = TimeSpan.FromHours(2) });
        await Eventually.HoldsAsync(
            () => edge.Parts.Controller.Current.Topics[Topic].Settings.TimeToLive == TimeSpan.FromHours(2), "the edge knows the new time");
        await _hub.SendDownAsync("north", Topic, Stamped(time.Now.ToUnixTimeMilliseconds() - 3_600_000, "in time by now"));
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Equal(["in time", "in time by now"], Batches.ReadValues(edge.Log(Topic)));
    }

    [Fact]
    public async Task Restarts_of_either_side_resume_where_the_copy_ends()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        for (int i = 0; i < 3; i++)
        {
            await _hub.SendDownAsync("north", Topic, Batches.Of($"a{i}", "b"));
            await edge.HasAllOfAsync(_hub, Topic);
            await edge.RestartAsync();
            await _hub.SendDownAsync("north", Topic, Batches.Of($"c{i}"));
            await edge.HasAllOfAsync(_hub, Topic);
            await _hub.StopServingAsync();
            await _hub.StartServingAsync();
        }

        await _hub.SendDownAsync("north", Topic, Batches.Of("end"));
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Equal(["a0", "b", "c0", "a1", "b", "c1", "a2", "b", "c2", "end"], Batches.ReadValues(edge.Log(Topic)));
        Assert.Empty(edge.Log(Topic).Gaps);
    }

    [Fact]
    public async Task Topic_made_anew_at_the_hub_replaces_the_copy_and_nothing_of_the_two_is_mixed()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("old", "older", "oldest"));
        await edge.HasAllOfAsync(_hub, Topic);
        Guid before = edge.Log(Topic).Manifest.Incarnation;

        await _hub.Parts.Controller.DeleteTopicAsync(Topic);
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("new"));
        await IsAnotherCopyAsync(edge, before);
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Equal(["new"], Batches.ReadValues(edge.Log(Topic)));
        Assert.Single(edge.DownlinkLogger.Lines, line => line.Contains("another one than before", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Hub_that_has_lost_its_records_and_begins_anew_replaces_the_copy()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("old"));
        await edge.HasAllOfAsync(_hub, Topic);
        Guid before = edge.Log(Topic).Manifest.Incarnation;

        await _hub.StopServingAsync();
        Directory.Delete(_hub.TopicsDirectory, recursive: true);
        await _hub.StartServingAsync();
        await _hub.SendDownAsync("north", Topic, Batches.Of("new", "and more"));
        await IsAnotherCopyAsync(edge, before);
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Equal(["new", "and more"], Batches.ReadValues(edge.Log(Topic)));
    }

    [Fact]
    public async Task Hub_with_an_old_backup_is_not_followed()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.SendDownAsync("north", Topic, Batches.Of("a"));
        await edge.HasAllOfAsync(_hub, Topic);
        await _hub.StopServingAsync();
        string backup = _hub.TopicsDirectory + "-backup";
        Copy(_hub.TopicsDirectory, backup);
        await _hub.StartServingAsync();
        await _hub.SendDownAsync("north", Topic, Batches.Of("b"));
        await edge.HasAllOfAsync(_hub, Topic);

        await _hub.StopServingAsync();
        Directory.Delete(_hub.TopicsDirectory, recursive: true);
        Directory.Move(backup, _hub.TopicsDirectory);
        await _hub.StartServingAsync();
        await Eventually.HoldsAsync(
            () => edge.DownlinkLogger.Lines.Any(line => line.Contains("the hub has lost records (an old backup?)", StringComparison.Ordinal)), "the edge says so");
        await _hub.SendDownAsync("north", Topic, Batches.Of("another b"));
        await _hub.CreateDownTopicAsync("other");
        await _hub.SendDownAsync("north", "other", Batches.Of("x"));
        await edge.HasAllOfAsync(_hub, "other");
        Assert.Equal(["a", "b"], Batches.ReadValues(edge.Log(Topic)));
    }

    [Fact]
    public async Task What_the_hubs_retention_took_is_a_gap_at_the_edge()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        PartitionLog log = _hub.LogOf("north", Topic)!;
        log.Settings = log.Settings with { RetentionBytes = 60_000 };
        for (int i = 0; i < 200; i++)
            await _hub.SendDownAsync("north", Topic, Batches.Of(new string('x', 1000)));

        long start = log.StartOffset;
        Assert.True(start > 0);
        edge.StartUplink();
        await edge.HasAllOfAsync(_hub, Topic);
        Assert.Equal([(0L, start - 1, GapReason.Retention)], edge.Log(Topic).Gaps.Select(gap => (gap.First, gap.Last, gap.Reason)));
    }

    [Fact]
    public async Task Local_topic_of_the_name_is_left_alone_and_the_others_flow()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await edge.Parts.Controller.CreateTopicAsync(Topic, 1, new TopicSettings());
        await edge.Parts.Log(Topic).AppendAsync(Batches.Of("mine"), AckLevel.Durable);
        await _hub.CreateDownTopicAsync(Topic);
        await _hub.CreateDownTopicAsync("settings");
        await _hub.SendDownAsync("north", Topic, Batches.Of("theirs"));
        await _hub.SendDownAsync("north", "settings", Batches.Of("x"));
        await edge.HasAllOfAsync(_hub, "settings");
        Assert.Equal(["mine"], Batches.ReadValues(edge.Log(Topic)));
        Assert.Contains(edge.DownlinkLogger.Lines, line => line.Contains("rename one of the two", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Producer_at_the_hub_fills_it_and_one_who_says_nonsense_of_its_time_to_live_does_not()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinAsync(_hub, "north");
        await _hub.CreateDownTopicAsync(Topic);
        V1.IssuedCertificate issued = _hub.Issuer.IssueCertificate("operator", CallerRole.Admin);
        using X509Certificate2 certificate = X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
        using EdgeStreamClient client = _hub.ClientAs(certificate);
        await using (Producer producer = await client.ProduceAsync(Topic, ack: V1.Ack.Mirrored))
        {
            // Acknowledged when the edge has it.
            Assert.Equal(0, await (await producer.SendAsync(Make(1000, "a", "36000d"))).InTimeAsync());
            Assert.Equal(["a"], Batches.ReadValues(edge.Log(Topic)));
        }

        await using Producer careless = await client.ProduceAsync(Topic);
        var refused = await Assert.ThrowsAsync<ClientException>(async () => await await careless.SendAsync(Make(1000, "b", "soon")));
        Assert.Equal((V1.ErrorCode.InvalidArgument, 1L), (refused.Code, _hub.LogOf("north", Topic)!.Offsets.End));
    }

    private static Task IsAnotherCopyAsync(InProcessEdge edge, Guid before) => Eventually.HoldsAsync(
        () => edge.Parts.Spu.Find(new PartitionId(Topic, 0)) is { } partition && partition.Log.Manifest.Incarnation != before, "the copy is another");

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string file in Directory.GetFiles(from))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));

        foreach (string directory in Directory.GetDirectories(from))
            Copy(directory, Path.Combine(to, Path.GetFileName(directory)));
    }

    private static IEnumerable<Record> Some(string prefix, int count) =>
        Enumerable.Range(0, count).Select(n => Make(1000 + n, $"{prefix}.{n} {new string('y', 40)}"));

    private static byte[] Stamped(long timestamp, params string[] values) =>
        Batches.Build(0, CompressionCodec.None, values.Select(value => Make(timestamp, value)));

    private static Record Make(long timestamp, string value, string? timeToLive = null) => new(
        0, timestamp, null, Encoding.UTF8.GetBytes(value),
        timeToLive is null ? [] : [new RecordHeader(RecordExpiry.HeaderName, Encoding.UTF8.GetBytes(timeToLive))]);
}
