using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>Members of a group whose partitions are led by several SPUs, one of which coordinates it.</summary>
public sealed class ClusterGroupTests(NatsFixture nats) : IAsyncLifetime
{
    private InProcessCluster _cluster = null!;
    private EdgeStreamClient _client = null!;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _cluster = await InProcessCluster.StartAsync(nats);
        _client = _cluster.Connect();
        await _cluster.CreateTopicAsync("t", 1, 2, 1);
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task Members_go_on_from_their_positions_when_the_coordinator_moves()
    {
        await FillAsync(0, 30);
        var read = new ConcurrentQueue<(int Partition, long Offset)>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        Task[] members = [ReadUntilAsync(read, stop.Token), ReadUntilAsync(read, stop.Token)];
        await Eventually.HoldsAsync(() => read.Distinct().Count() == 30, "all is read");
        await CommittedAsync(30);

        int before = read.Count;
        await _cluster.MoveAsync("t", 0, to: 2);
        await FillAsync(30, 30);
        await Eventually.HoldsAsync(() => read.Distinct().Count() == 60, "all is read there, too");
        await CommittedAsync(60);

        // What was committed has not come again.
        Assert.Equal(30, read.Skip(before).Distinct().Count());
        Assert.All(read.Skip(before), given => Assert.True(given.Offset >= 10, $"{given} came again"));
        await stop.CancelAsync();
        await Task.WhenAll(members).InTimeAsync();
        Assert.Contains(_cluster.Spus[1].Groups.List(), share => share.Group == "g");
        Assert.Empty(_cluster.Spus[0].Groups.List());

        // And back, where older positions were known.
        await _cluster.MoveAsync("t", 0, to: 1);
        Assert.Empty(await ReadToEndAsync("g"));
    }

    [Fact]
    public async Task New_group_begins_at_the_end_of_each_partition_wherever_it_is_led()
    {
        await FillAsync(0, 9);
        Assert.Empty(await ReadToEndAsync("g", fromEnd: true));
        await FillAsync(9, 3);
        Assert.Equal([(0, 3), (1, 3), (2, 3)], (await ReadToEndAsync("g", fromEnd: true)).Order());
        Assert.Equal(12, (await ReadToEndAsync("other")).Count);
    }

    [Fact]
    public async Task Group_is_listed_reset_and_deleted_by_whoever_leads()
    {
        await FillAsync(0, 9);
        await ReadToEndAsync("g");
        Assert.Equal([(0, 3, 3), (1, 3, 3), (2, 3, 3)], await PositionsAsync());

        await _client.ResetGroupAsync(new ResetGroupRequest { Group = "g", Topic = "t", Partition = 1, Offset = 2 }).InTimeAsync();
        Assert.Equal([(1, 2)], await ReadToEndAsync("g"));
        await _client.ResetGroupAsync(new ResetGroupRequest { Group = "g", Topic = "t", Beginning = true }).InTimeAsync();
        Assert.Equal([(0, 0, 3), (1, 0, 3), (2, 0, 3)], await PositionsAsync());
        await _client.ResetGroupAsync(new ResetGroupRequest { Group = "g", Topic = "t", Time = 4 }).InTimeAsync();
        Assert.Equal([(0, 2, 3), (1, 1, 3), (2, 1, 3)], await PositionsAsync());
        var refused = await Assert.ThrowsAsync<ClientException>(() =>
            _client.ResetGroupAsync(new ResetGroupRequest { Group = "g", Topic = "t", Partition = 1, Offset = 4 }).InTimeAsync());
        Assert.Equal((ErrorCode.OffsetOutOfRange, "t/1 has the offsets 0 to 3, not 4"), (refused.Code, refused.Message));

        await _client.DeleteGroupAsync("g").InTimeAsync();
        Assert.Empty(await PositionsAsync());
        Assert.Equal(ErrorCode.GroupNotFound, (await Assert.ThrowsAsync<ClientException>(() => _client.DeleteGroupAsync("g").InTimeAsync())).Code);
    }

    [Fact]
    public async Task Member_waits_for_a_coordinator_that_cannot_be_reached_at_first()
    {
        await FillAsync(0, 9);
        _cluster.Spus[0].Link.Fault = LinkFault.Cut;
        var told = new TaskCompletionSource<string>();
        await using GroupConsumer consumer = _client.JoinGroup(new GroupOptions("g", "t") { StopAtEnd = true, Interrupted = problem => told.TrySetResult(problem) });
        Task<int> reading = CountAsync();
        Assert.Contains(_cluster.Spus[0].Endpoint, await told.Task.InTimeAsync(), StringComparison.Ordinal);

        _cluster.Spus[0].Link.Fault = LinkFault.None;
        Assert.Equal(9, await reading.InTimeAsync());

        async Task<int> CountAsync() => await consumer.ReadAsync(Cancelled).CountAsync(Cancelled);
    }

    [Fact]
    public async Task Spu_that_does_not_coordinate_a_group_says_who_does()
    {
        using EdgeStreamClient direct = _cluster.Connect(_cluster.Spus[1].Endpoint);
        var refused = await Assert.ThrowsAsync<ClientException>(() => direct.CallAsync(
            node => node.ConsumerGroups.ResetGroupAsync(new ResetGroupRequest { Group = "g", Topic = "t", Positions = new CommitPositions() })).InTimeAsync());
        Assert.Equal((ErrorCode.NotLeader, $"t/0 is led by SPU 1 at {_cluster.Spus[0].Endpoint}; ask there"), (refused.Code, refused.Message));
    }

    private async Task<(int Partition, long Offset, long Durable)[]> PositionsAsync() =>
        [.. (await _client.ListGroupsAsync().InTimeAsync()).Items.Where(read => read.Group == "g").Select(read => (read.Partition, read.Offset, read.Durable))];

    /// <summary>Waits until so many records of all partitions are committed and durable: no coordinator can forget that.</summary>
    private async Task CommittedAsync(int count)
    {
        string positions = "";
        await Condition.WaitAsync(() => $"all is committed: {positions}", async () =>
        {
            IReadOnlyList<GroupPositions> stored = await _cluster.ReadPositionsAsync();
            positions = string.Join(' ', stored.SelectMany(group => group.Offsets));
            return stored.SelectMany(group => group.Offsets.Values).Sum() == count;
        });
    }

    private async Task ReadUntilAsync(ConcurrentQueue<(int Partition, long Offset)> read, CancellationToken stop)
    {
        await using GroupConsumer consumer = _client.JoinGroup(new GroupOptions("g", "t"));
        try
        {
            await foreach (GroupRecord given in consumer.ReadAsync(stop))
                read.Enqueue((given.Partition, given.Record.Offset));
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }
    }

    private async Task<List<(int Partition, long Offset)>> ReadToEndAsync(string group, bool fromEnd = false)
    {
        List<(int Partition, long Offset)> read = [];
        await using GroupConsumer consumer = _client.JoinGroup(new GroupOptions(group, "t") { FromEnd = fromEnd, StopAtEnd = true });
        await foreach (GroupRecord given in consumer.ReadAsync(Cancelled))
            read.Add((given.Partition, given.Record.Offset));

        await consumer.CommitAsync(Cancelled);
        return read;
    }

    /// <summary>Appends numbers, in turn to each partition; each is its timestamp, too.</summary>
    private async Task FillAsync(int first, int count)
    {
        for (int partition = 0; partition < 3; partition++)
        {
            await using Producer producer = await _client.ProduceAsync("t", partition);
            for (int i = first + partition; i < first + count; i += 3)
                await (await producer.SendAsync(new Record(0, i, null, Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture)), []), Cancelled)).InTimeAsync();
        }
    }
}
