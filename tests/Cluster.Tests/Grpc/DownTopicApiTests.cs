using System.Text;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Grpc;

/// <summary>An edge's copy of a topic that flows down, as programs at the edge see it.</summary>
public sealed class DownTopicApiTests : IAsyncLifetime
{
    private const string Topic = "commands";
    private const long HubTime = 1_900_000_000_000;

    private InProcessNode _node = null!;

    public async ValueTask InitializeAsync()
    {
        _node = await InProcessNode.StartAsync();
        await _node.Parts.Controller.EnsureDownTopicAsync(Topic, TimeSpan.FromMinutes(1));
    }

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Fact]
    public async Task Nobody_at_the_edge_produces_to_it()
    {
        await using Producer producer = await _node.Client.ProduceAsync(Topic);
        var refused = await Assert.ThrowsAsync<ClientException>(async () => await await producer.SendAsync(new Record(0, null, null)));
        Assert.Equal(
            (ErrorCode.MirrorOnly, "topic 'commands' flows down from the hub; produce there: edgestream produce commands --geo NAME-OF-THIS-EDGE"),
            (refused.Code, refused.Message));
        Assert.Equal(0, _node.Parts.Log(Topic).Offsets.End);
    }

    [Fact]
    public async Task Edge_does_not_say_for_how_long_records_count()
    {
        var refused = await Assert.ThrowsAsync<ClientException>(() => _node.Client.CallAsync(
            client => client.ControlPlane.AlterTopicAsync(new AlterTopicRequest { Name = Topic, TimeToLiveMs = 1 })));
        Assert.Equal(ErrorCode.WrongRole, refused.Code);
        Assert.Equal(TimeSpan.FromMinutes(1), _node.Parts.Controller.Current.Topics[Topic].Settings.TimeToLive);
    }

    [Fact]
    public async Task Consumer_passes_over_what_has_expired_by_the_hubs_clock()
    {
        await FillAsync((HubTime - 61_000, "late", null), (HubTime - 59_000, "in time", null), (HubTime - 59_000, "its own is over", "1s"),
            (HubTime - 3_600_000, "its own is longer", "2h"));
        _node.HubClock.Tell(HubTime, _node.HubClock.Monotonic);
        Assert.Equal(["in time", "its own is longer"], await ReadAsync());

        _node.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal(["its own is longer"], await ReadAsync());
        Assert.Equal(["late", "in time", "its own is over", "its own is longer"], await ReadAsync(includeExpired: true));
    }

    [Fact]
    public async Task Consumer_passes_over_what_can_expire_until_the_hub_was_heard()
    {
        await FillAsync((HubTime, "may be old", null));
        Assert.Empty(await ReadAsync());
        Assert.Equal(["may be old"], await ReadAsync(includeExpired: true));

        await _node.Parts.Controller.EnsureDownTopicAsync(Topic, null);
        Assert.Equal(["may be old"], await ReadAsync());
    }

    [Fact]
    public async Task Topic_of_the_edge_itself_knows_no_expiry()
    {
        await _node.CreateTopicAsync("own");
        await _node.Parts.Log("own").AppendAsync(Batches.Build(0, CompressionCodec.None, [Make(0, "a", "1s")]), AckLevel.Durable);
        _node.HubClock.Tell(HubTime, _node.HubClock.Monotonic);
        Assert.Equal(["a"], await ReadAsync(topic: "own"));
    }

    private async Task FillAsync(params (long Timestamp, string Value, string? TimeToLive)[] records) => await _node.Parts.Log(Topic).AppendAsync(
        Batches.Build(0, CompressionCodec.None, records.Select(record => Make(record.Timestamp, record.Value, record.TimeToLive))), AckLevel.Durable);

    private static Record Make(long timestamp, string value, string? timeToLive) => new(
        0, timestamp, null, Encoding.UTF8.GetBytes(value),
        timeToLive is null ? [] : [new RecordHeader(RecordExpiry.HeaderName, Encoding.UTF8.GetBytes(timeToLive))]);

    private async Task<List<string>> ReadAsync(bool includeExpired = false, string topic = Topic)
    {
        using Consumer consumer = await _node.Client.ConsumeAsync(
            new ConsumeRequest { Topic = topic, Beginning = true, StopAtEnd = true }, includeExpired);
        var values = new List<string>();
        await foreach (Record record in consumer.ReadAsync())
            values.Add(Encoding.UTF8.GetString(record.Value!.Value.Span));

        return values;
    }
}
