using System.Collections.Immutable;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

public sealed class JetStreamSpuStateStoreTests(NatsFixture nats)
{
    private readonly string _clusterId = Guid.NewGuid().ToString("N");

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task All_that_was_saved_is_there_for_another(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        await using JetStreamSpuStateStore store = Open(options);
        await ReadyAsync(store);
        Assert.Null(await store.FindStartTokensAsync("north"));
        await store.UpdateStartTokensAsync("north", _ => new StartTokens(null, ["1-a"], 1));
        await store.UpdateStartTokensAsync("site.7", known => new StartTokens("2-b", [], (known?.Given ?? 0) + 2));
        await store.UpdateStartTokensAsync("gone", _ => new StartTokens("x", []));
        await store.UpdateStartTokensAsync("gone", _ => null);
        await store.SaveGroupPositionsAsync([Positions("g.1", "a.b", (0, 7), (12, 9_000_000_000)), Positions("g", "t", (0, 1)), Positions("gone", "t", (0, 1))]);
        await store.SaveGroupPositionsAsync([Positions("g", "t", (0, 2)) with { Epoch = 3 }]);
        await store.DeleteGroupPositionsAsync("gone", "t");
        await store.DeleteGroupPositionsAsync("never", "t");

        await using JetStreamSpuStateStore again = Open(options);
        StartTokens north = (await again.FindStartTokensAsync("north"))!, site = (await again.FindStartTokensAsync("site.7"))!;
        Assert.Equal((null, "1-a", 1), (north.Current, Assert.Single(north.Pending), north.Given));
        Assert.Equal(("2-b", 0, 2), (site.Current, site.Pending.Count, site.Given));
        Assert.Null(await again.FindStartTokensAsync("gone"));
        IReadOnlyList<GroupPositions> read = await again.LoadGroupPositionsAsync();
        Assert.Equal([("g.1", "a.b", 0L), ("g", "t", 3L)], read.Select(one => (one.Group, one.Topic, one.Epoch)));
        Assert.Equal([new(0, 7), new(12, 9_000_000_000)], read[0].Offsets);
        Assert.Equal([new(0, 2)], read[1].Offsets);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Tokens_that_two_decide_on_at_once_are_decided_on_one_after_the_other(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        await using JetStreamSpuStateStore one = Open(options), other = Open(options);
        await ReadyAsync(one);
        await Task.WhenAll(AddAsync(one), AddAsync(other)).InTimeAsync();
        Assert.Equal(100, (await one.FindStartTokensAsync("north"))!.Given);

        static Task AddAsync(JetStreamSpuStateStore store) => Task.Run(async () =>
        {
            for (int i = 0; i < 50; i++)
                await store.UpdateStartTokensAsync("north", known => new StartTokens($"{Guid.NewGuid()}", [], (known?.Given ?? 0) + 1));
        });
    }

    [Fact]
    public async Task Of_two_coordinators_that_with_the_higher_epoch_wins()
    {
        JetStreamOptions options = await nats.OptionsAsync(1);
        await using JetStreamSpuStateStore late = Open(options), next = Open(options);
        Assert.Empty(await late.SaveGroupPositionsAsync([Positions("g", "t", (0, 1), (1, 5)) with { Epoch = 1 }]));

        // It has not even read what the other wrote.
        Assert.Empty(await next.SaveGroupPositionsAsync([Positions("g", "t", (0, 9)) with { Epoch = 2 }]));
        GroupPositions[] both = [Positions("g", "t", (0, 3)) with { Epoch = 1 }, Positions("h", "t", (0, 4)) with { Epoch = 1 }];
        GroupPositions newer = Assert.Single(await late.SaveGroupPositionsAsync(both));
        Assert.Equal(("g", 2), (newer.Group, newer.Epoch));
        Assert.Equal([new(0, 9), new(1, 5)], newer.Offsets);
        Assert.Equal([("g", 9L), ("h", 4)], (await next.LoadGroupPositionsAsync()).Select(one => (one.Group, one.Offsets[0])));
    }

    [Fact]
    public async Task Commits_to_a_coordinator_that_is_late_are_refused_and_the_others_go_on()
    {
        JetStreamOptions options = await nats.OptionsAsync(1);
        await using JetStreamSpuStateStore one = Open(options), other = Open(options);
        await using PositionStore late = await PositionStore.OpenAsync(one, TimeProvider.System);
        await late.SetAsync("g", "t", [new(0, 1)], epoch: 1).InTimeAsync();
        await using (PositionStore next = await PositionStore.OpenAsync(other, TimeProvider.System))
            await next.SetAsync("g", "t", [new(0, 7)], epoch: 2).InTimeAsync();

        Task refused = late.SetAsync("g", "t", [new(0, 2)], epoch: 1), taken = late.SetAsync("h", "t", [new(0, 3)], epoch: 1);
        Assert.Equal(ErrorCode.NotLeader, (await Assert.ThrowsAsync<ClusterException>(() => refused.InTimeAsync())).Code);
        await taken.InTimeAsync();
        Assert.Equal(7, late.Find("g", "t")[0]);
        Assert.Equal([("g", 7L), ("h", 3)], (await other.LoadGroupPositionsAsync()).Select(one => (one.Group, one.Offsets[0])));
    }

    [Fact]
    public async Task Tokens_whose_answer_is_lost_are_an_error_and_the_next_to_decide_finds_them()
    {
        using var link = new FaultyLink((await nats.SingleAsync()).Port);
        await using JetStreamSpuStateStore one = Open(MetadataServers.At(link)), other = Open(await nats.OptionsAsync(1));
        await one.UpdateStartTokensAsync("north", _ => new StartTokens("1-a", [], 1));

        Task UnansweredAsync() => one.UpdateStartTokensAsync("north", known =>
        {
            link.Fault = LinkFault.NoAnswers;
            return known! with { Given = known.Given + 1 };
        });
        await Assert.ThrowsAsync<ClusterException>(UnansweredAsync);
        link.Fault = LinkFault.None;
        await other.UpdateStartTokensAsync("north", known => known! with { Given = known.Given + 10 });
        Assert.Equal(12, (await other.FindStartTokensAsync("north"))!.Given);
        await ReadyAsync(one);
        Assert.Equal(12, (await one.FindStartTokensAsync("north"))!.Given);
    }

    private static GroupPositions Positions(string group, string topic, params (int Partition, long Offset)[] offsets) =>
        new(group, topic, offsets.ToImmutableSortedDictionary(offset => offset.Partition, offset => offset.Offset));

    private JetStreamSpuStateStore Open(JetStreamOptions options) => new(options, _clusterId, NullLogger.Instance);

    private static Task ReadyAsync(JetStreamSpuStateStore store) => Condition.WaitAsync(
        () => "the servers answer",
        async () =>
        {
            try
            {
                await store.FindStartTokensAsync("nobody");
                return true;
            }
            catch (ClusterException)
            {
                return false;
            }
        });
}
