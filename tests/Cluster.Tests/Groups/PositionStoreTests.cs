using System.Diagnostics;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Groups;

public sealed class PositionStoreTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task What_was_set_is_there_after_reopening()
    {
        using (LiteDbMetadataStore store = OpenStore())
        {
            await using PositionStore positions = await OpenAsync(store);
            await positions.SetAsync("billing", "readings", [new(0, 7), new(12, 9_000_000_000)]);
            await positions.SetAsync("billing", "readings", [new(0, 8)]);
            await positions.SetAsync("Billing", "readings", [new(0, 1)]);
            await positions.SetAsync("billing", "alarms", [new(0, 2)]);
            Assert.True(await positions.DeleteAsync("billing", "alarms"));
        }

        using LiteDbMetadataStore reopened = OpenStore();
        await using PositionStore again = await OpenAsync(reopened);
        Assert.Equal([("Billing", "readings"), ("billing", "readings")], again.All.Select(one => (one.Group, one.Topic)));
        Assert.Equal([new(0, 8), new(12, 9_000_000_000)], again.Find("billing", "readings"));
        Assert.Empty(again.Find("billing", "alarms"));
    }

    [Fact]
    public async Task Commits_within_a_second_are_one_write_and_each_is_told_when_it_is_durable()
    {
        using LiteDbMetadataStore store = OpenStore();
        await using PositionStore positions = await OpenAsync(store);
        await positions.SetAsync("g", "t", [new(0, 1)]).InTimeAsync();

        long before = Stopwatch.GetTimestamp();
        Task[] commits = [.. Enumerable.Range(2, 100).Select(offset => positions.SetAsync($"g{offset % 3}", "t", [new(0, offset)]))];
        Assert.Equal(101, positions.Find("g2", "t")[0]);
        Assert.DoesNotContain(commits, commit => commit.IsCompleted);
        await Task.WhenAll(commits).InTimeAsync();

        Assert.InRange(Stopwatch.GetElapsedTime(before), PositionStore.WriteInterval / 2, TimeSpan.MaxValue);
        Assert.Equal([("g", 1L), ("g0", 99), ("g1", 100), ("g2", 101)], (await store.LoadGroupPositionsAsync()).Select(one => (one.Group, one.Offsets[0])).Order());
    }

    [Fact]
    public async Task What_could_not_be_written_is_told_counts_and_is_written_with_the_next()
    {
        using LiteDbMetadataStore store = OpenStore();
        var breakable = new BreakableStore(store);
        await using PositionStore positions = await OpenAsync(breakable);
        breakable.IsBroken = true;
        await Assert.ThrowsAsync<IOException>(() => positions.SetAsync("g", "t", [new(0, 1)]));
        Assert.Equal(1, positions.Find("g", "t")[0]);

        breakable.IsBroken = false;
        await positions.SetAsync("other", "t", [new(0, 5)]).InTimeAsync();
        Assert.Equal(2, (await store.LoadGroupPositionsAsync()).Count);
    }

    [Fact]
    public async Task Closing_writes_what_waits()
    {
        using LiteDbMetadataStore store = OpenStore();
        PositionStore positions = await OpenAsync(store);
        await positions.SetAsync("g", "t", [new(0, 1)]);
        Task waiting = positions.SetAsync("g", "t", [new(0, 2)]);

        await positions.DisposeAsync();
        await waiting.InTimeAsync();
        Assert.Equal(2, Assert.Single((await store.LoadGroupPositionsAsync())).Offsets[0]);
    }

    [Fact]
    public async Task Names_made_up_each_time_come_to_an_end()
    {
        using LiteDbMetadataStore store = OpenStore();
        await using PositionStore positions = await OpenAsync(store);
        Task[] commits = [.. Enumerable.Range(0, 1000).Select(i => positions.SetAsync($"g{i}", "t", [new(0, 1)]))];
        Task OneMore() => positions.SetAsync("one more", "t", [new(0, 1)]);
        ClusterException refused = await Assert.ThrowsAsync<ClusterException>(OneMore);
        Assert.Contains("1000 groups already", refused.Message, StringComparison.Ordinal);
        await Task.WhenAll(commits).InTimeAsync();
        await positions.SetAsync("g5", "t", [new(0, 2)]).InTimeAsync();
    }

    [Fact]
    public async Task Deleted_topic_takes_its_positions_along()
    {
        using LiteDbMetadataStore store = OpenStore();
        await using PositionStore positions = await OpenAsync(store);
        await store.SaveTopicAsync(new TopicInfo("t", new TopicSettings(), []));
        await Task.WhenAll(positions.SetAsync("a", "t", [new(0, 1)]), positions.SetAsync("b", "t", [new(0, 2)]), positions.SetAsync("a", "u", [new(0, 3)]));

        await store.DeleteTopicAsync("t");
        Assert.Equal(["u"], (await store.LoadGroupPositionsAsync()).Select(one => one.Topic));
        await positions.DeleteTopicAsync("t");
        Assert.Equal(["u"], positions.All.Select(one => one.Topic));
    }

    private LiteDbMetadataStore OpenStore() => new(_temp.Sub(LiteDbMetadataStore.FileName));

    private static Task<PositionStore> OpenAsync(IPositionStore store) => PositionStore.OpenAsync(store, TimeProvider.System);

    /// <summary>A real store, whose writes a test can have fail.</summary>
    private sealed class BreakableStore(IPositionStore inner) : IPositionStore
    {
        public bool IsBroken { get; set; }

        public Task<IReadOnlyList<GroupPositions>> LoadGroupPositionsAsync() => inner.LoadGroupPositionsAsync();

        public Task<IReadOnlyList<GroupPositions>> SaveGroupPositionsAsync(IReadOnlyCollection<GroupPositions> positions) =>
            IsBroken ? throw new IOException("the test's disk is broken") : inner.SaveGroupPositionsAsync(positions);

        public Task DeleteGroupPositionsAsync(string group, string topic) => inner.DeleteGroupPositionsAsync(group, topic);
    }
}
