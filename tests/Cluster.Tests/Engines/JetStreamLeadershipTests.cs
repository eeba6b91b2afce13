using System.Collections.Concurrent;
using System.Collections.Immutable;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using NATS.Client.JetStream;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>Several SPUs on the same servers: who was told last to lead a partition has it, whatever the others do.</summary>
public sealed class JetStreamLeadershipTests(NatsFixture nats) : IDisposable
{
    private static readonly PartitionId Id = new("t", 0);

    private readonly TemporaryDirectory _directory = new();
    private readonly string _clusterId = Guid.NewGuid().ToString("N");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Spu_that_was_told_earlier_does_not_take_the_partition_back()
    {
        await using LocalSpu first = await SpuAsync(1), second = await SpuAsync(2);
        TopologyMap before = Topology(leader: 1, epoch: 1), after = Topology(leader: 2, epoch: 2);
        IPartitionLog old = await LeadsAsync(first, before);
        await old.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        IPartitionLog now = await LeadsAsync(second, after);
        await Assert.ThrowsAsync<ClusterException>(() => old.AppendAsync(Batches.Of("x"), AckLevel.Durable).AsTask().InTimeAsync());

        // It knows the old map only, as an SPU does that has lost the SC.
        Assert.True(first.HasClosed);
        Assert.False(await first.ReopenAsync(before));
        Assert.False(await first.ReopenAsync(before));
        Assert.Equal("partition t/0 is led by SPU 2 since; ask there", first.Partitions[0].Problem);
        Assert.Equal(ErrorCode.NotLeader, Assert.Throws<ClusterException>(() => first.Partitions[0].Log).Code);

        Assert.Equal(new AppendedRange(1, 1), await now.AppendAsync(Batches.Of("b"), AckLevel.Durable));
        Assert.Null(now.Failure);
        Assert.Equal(["a", "b"], await Batches.ReadValuesAsync(now));
    }

    [Fact]
    public async Task Spu_that_comes_too_late_touches_nothing()
    {
        await using LocalSpu leader = await SpuAsync(2);
        IPartitionLog log = await LeadsAsync(leader, Topology(leader: 2, epoch: 7));
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        string stream = StreamNames.Of(_clusterId, Id).Stream;
        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var jetStream = new NatsJSContext(connection);
        ulong last = (await jetStream.GetStreamAsync(stream)).Info.State.LastSeq;

        // With a lower epoch, and with the same one of another SPU, which no SC gives.
        foreach ((int spu, long epoch) in ((int, long)[])[(1, 6), (1, 7), (3, 0)])
        {
            await using LocalSpu late = await SpuAsync(spu);
            await late.StartAsync(Topology(spu, epoch, new TopicSettings { RetentionBytes = 1 << 25 }));
            Assert.Contains("led by SPU 2", late.Partitions[0].Problem, StringComparison.Ordinal);
        }

        NATS.Client.JetStream.Models.StreamInfo untouched = (await jetStream.GetStreamAsync(stream)).Info;
        Assert.Equal((last, -1L), (untouched.State.LastSeq, untouched.Config.MaxBytes));
        Assert.Equal(new AppendedRange(1, 1), await log.AppendAsync(Batches.Of("b"), AckLevel.Durable));
    }

    [Fact]
    public async Task Stream_that_is_gone_is_missed_unless_all_that_was_kept_of_it_is()
    {
        TopologyMap topology = Topology(leader: 1, epoch: 1);
        await using (LocalSpu spu = await SpuAsync(1))
            await (await LeadsAsync(spu, topology)).AppendAsync(Batches.Of("a"), AckLevel.Durable);

        await using var connection = new NatsConnection(new NatsOpts { Url = (await nats.SingleAsync()).Url });
        var jetStream = new NatsJSContext(connection);
        string stream = StreamNames.Of(_clusterId, Id).Stream, bucket = $"edgestream-{_clusterId[..12]}";
        string incarnation = (await jetStream.GetStreamAsync(stream)).Info.Config.Description![^32..];
        await jetStream.DeleteStreamAsync(stream);
        await using LocalSpu next = await SpuAsync(2);
        await next.StartAsync(Topology(leader: 2, epoch: 2));
        Assert.StartsWith($"the NATS stream '{stream}', which had this partition, is gone", next.Partitions[0].Problem, StringComparison.Ordinal);

        // As an SC of a version before does, which knows of no mark.
        await jetStream.PurgeStreamAsync($"KV_{bucket}", new NATS.Client.JetStream.Models.StreamPurgeRequest { Filter = $"$KV.{bucket}.{incarnation}.>" });
        Assert.True(await next.ReopenAsync(Topology(leader: 2, epoch: 2)));
        Assert.Equal(new AppendedRange(0, 0), await next.Partitions[0].Log.AppendAsync(Batches.Of("b"), AckLevel.Durable));
    }

    [Fact]
    public async Task Leader_that_nobody_writes_to_comes_to_know_that_another_has_its_place()
    {
        await using LocalSpu first = await SpuAsync(1), second = await SpuAsync(2);
        var old = (JetStreamLog)await LeadsAsync(first, Topology(leader: 1, epoch: 1));
        await old.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await old.MaintainAsync();
        Assert.Null(old.Failure);
        await LeadsAsync(second, Topology(leader: 2, epoch: 2));
        ValueTask waiting = old.WaitForDurableAsync(2, CancellationToken.None);
        await Assert.ThrowsAsync<ClusterException>(() => old.MaintainAsync());
        await Assert.ThrowsAsync<ClusterException>(() => waiting.AsTask().InTimeAsync());
        Assert.True(first.HasClosed);
    }

    [Fact]
    public async Task Successor_keeps_what_lies_beside_the_records_though_the_one_before_wrote_there_last()
    {
        await using IPartitionEngine first = await EngineAsync("first"), second = await EngineAsync("second"), third = await EngineAsync("third");
        IPartitionLog old = await OpenAsync(first, 1);
        await await old.EnqueueGapAsync(Lost(0, 4));
        var now = (JetStreamLog)await OpenAsync(second, 2);
        await first.CloseAsync(old);
        await await now.EnqueueGapAsync(Lost(5, 9));
        await now.MaintainAsync();
        await second.CloseAsync(now);
        IPartitionLog last = await OpenAsync(third, 3);
        Assert.Equal(10, last.Gaps.Sum(gap => gap.Records));
        await third.CloseAsync(last);

        ValueTask<IPartitionLog> OpenAsync(IPartitionEngine engine, int spu)
        {
            TopicInfo topic = Topology(spu, epoch: spu).Topics["t"];
            return engine.OpenAsync(Id, topic, topic.Partitions[0]);
        }

        static Gap Lost(long from, long to) => new(from, to, 1, -1, -1, GapReason.Overflow, 1);
    }

    [Fact]
    public async Task Leadership_that_goes_to_and_fro_under_producers_costs_no_record_and_makes_none_twice()
    {
        const int Turns = 12;
        using var stop = new CancellationTokenSource();
        var acknowledged = new ConcurrentDictionary<string, long>();
        Side[] sides = [new(await EngineAsync("one")), new(await EngineAsync("two"))];
        Task[] keeping = [.. sides.Select(side => Task.Run(() => side.KeepOpenAsync(stop.Token)))];
        Task[] producing = [.. Enumerable.Range(0, 4).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                // At either of them, whoever leads; what was refused may be stored all the same, but not twice.
                string value = $"{producer} {i}";
                try
                {
                    if (sides[(producer + i) % 2].Log is { } log)
                        acknowledged[value] = (await log.AppendAsync(Batches.Of(value), AckLevel.Durable)).BaseOffset;
                    else
                        await Task.Yield();
                }
                catch (EdgeStreamException)
                {
                }
            }
        }))];

        // Only the new leader is told; the one before goes on by what it knows, and tries to have the partition open all the time.
        for (int turn = 1; turn <= Turns; turn++)
        {
            Side leader = sides[turn % 2];
            leader.Told = Topology((turn % 2) + 1, epoch: turn).Topics["t"];
            int before = acknowledged.Count;
            await Condition.WaitAsync(
                () => $"the new leader is there and records go on to be stored in turn {turn}",
                () => Task.FromResult((leader.Opened == turn && acknowledged.Count > before + 50) || producing.Concat(keeping).Any(task => task.IsFaulted)));
        }

        await stop.CancelAsync();
        await Task.WhenAll([.. keeping, .. producing]).InTimeAsync();
        IPartitionLog last = sides[Turns % 2].Log!;
        await last.AppendAsync(Batches.Of("last"), AckLevel.Durable);
        List<string> values = await Batches.ReadValuesAsync(last);
        Assert.Empty(last.Gaps);
        Assert.Equal(values.Count, values.Distinct().Count());
        Assert.All(acknowledged, stored => Assert.Equal(stored.Key, values[(int)stored.Value]));
        foreach (Side side in sides)
            await side.DisposeAsync();
    }

    /// <summary>An SPU that does what it was told last, and knows of nothing else.</summary>
    private sealed class Side(IPartitionEngine engine) : IAsyncDisposable
    {
        private volatile TopicInfo? _told;
        private volatile IPartitionLog? _log;
        private long _opened;

        public TopicInfo Told
        {
            set => _told = value;
        }

        public IPartitionLog? Log => _log;

        /// <summary>The epoch that it was opened with last.</summary>
        public long Opened => Volatile.Read(ref _opened);

        public async Task KeepOpenAsync(CancellationToken stop)
        {
            while (!stop.IsCancellationRequested)
            {
                await Task.Yield();
                if (_told is not { } told)
                    continue;

                PartitionInfo info = told.Partitions[0];
                if (_log is { Failure: null } && Opened == info.LeaderEpoch)
                    continue;

                if (Interlocked.Exchange(ref _log, null) is { } failed)
                    await engine.CloseAsync(failed);

                try
                {
                    _log = await engine.OpenAsync(Id, told, info);
                    Volatile.Write(ref _opened, info.LeaderEpoch);
                }
                catch (ClusterException refused) when (refused.Code is ErrorCode.NotLeader or ErrorCode.Unavailable)
                {
                    // The other one leads it, or is opening it at this instant.
                }
            }
        }

        public async ValueTask DisposeAsync()
        {
            if (_log is { } log)
                await engine.CloseAsync(log);

            await engine.DisposeAsync();
        }
    }

    private static async Task<IPartitionLog> LeadsAsync(LocalSpu spu, TopologyMap topology)
    {
        await spu.StartAsync(topology);
        await Condition.WaitAsync(
            () => $"the partition opens: {spu.Partitions[0].Problem}",
            async () =>
            {
                await spu.ReopenAsync(topology);
                return !spu.HasClosed;
            });
        return spu.Partitions[0].Log;
    }

    private async Task<LocalSpu> SpuAsync(int id) => new(id, await EngineAsync($"spu-{id}-{Guid.NewGuid():N}", start: false), NullLogger<LocalSpu>.Instance, isHub: true);

    private async Task<IPartitionEngine> EngineAsync(string name, bool start = true)
    {
        Directory.CreateDirectory(_directory.At(name));
        IPartitionEngine engine = EngineUnderTest.JetStream(_directory.At(name), [(await nats.SingleAsync()).Url]);
        if (start)
            await engine.StartAsync(Topology(leader: 1, epoch: 1));

        return engine;
    }

    private TopologyMap Topology(int leader, long epoch, TopicSettings? settings = null) => new(
        _clusterId, [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
        ImmutableSortedDictionary<string, TopicInfo>.Empty.Add(
            "t", new TopicInfo("t", settings ?? new TopicSettings(), [new PartitionInfo(0, leader, LeaderEpoch: epoch)])));
}
