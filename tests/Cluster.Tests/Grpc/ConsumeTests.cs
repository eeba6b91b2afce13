using System.Text;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Gap = EdgeStream.Protocol.V1.Gap;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Grpc;

public sealed class ConsumeTests : IAsyncLifetime
{
    private InProcessNode _node = null!;

    public async ValueTask InitializeAsync()
    {
        _node = await InProcessNode.StartAsync(new LogOptions { SegmentBytes = 500 });
        await _node.CreateTopicAsync("t");
    }

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Fact]
    public async Task Consumer_begins_where_it_asked_to()
    {
        // Ten batches of two records, stamped 100, 110, 200, 210 and so on.
        for (int i = 1; i <= 10; i++)
            await _node.Parts.Log("t").AppendAsync(Batches.Stamped(100 * i, (100 * i) + 10), AckLevel.Durable);

        await AssertReadsFromAsync(0, new ConsumeRequest { Beginning = true });
        await AssertReadsFromAsync(0, new ConsumeRequest { Offset = 0 });
        await AssertReadsFromAsync(7, new ConsumeRequest { Offset = 7 });
        await AssertReadsFromAsync(20, new ConsumeRequest { Offset = 20 });
        await AssertReadsFromAsync(20, new ConsumeRequest());
        await AssertReadsFromAsync(20, new ConsumeRequest { End = true });
        await AssertReadsFromAsync(15, new ConsumeRequest { Last = 5 });
        await AssertReadsFromAsync(0, new ConsumeRequest { Last = long.MaxValue });
        await AssertReadsFromAsync(0, new ConsumeRequest { Time = 0 });
        await AssertReadsFromAsync(9, new ConsumeRequest { Time = 505 });
        await AssertReadsFromAsync(20, new ConsumeRequest { Time = 5000 });
        await AssertReadsFromAsync(7, new ConsumeRequest { Offset = 7, MaxBytes = 1 });
    }

    [Fact]
    public async Task Gaps_are_seen_in_their_place()
    {
        PartitionLog log = _node.Parts.Log("t");
        await LoseAsync(log, 0, 9, GapReason.Retention);
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        await LoseAsync(log, 11, 14, GapReason.Damage);
        await LoseAsync(log, 15, 19, GapReason.Overflow);
        await log.AppendAsync(Batches.Of("b"), AckLevel.Durable);
        await LoseAsync(log, 21, 29, GapReason.Retention);

        Assert.Equal(["0-9 retention", "10", "11-14 damage", "15-19 overflow", "20", "21-29 retention"], await SeenAsync(new ConsumeRequest { Beginning = true }));

        // One that begins within a gap is told of all of it; there is nothing to read before its end.
        Assert.Equal(["11-14 damage", "15-19 overflow", "20", "21-29 retention"], await SeenAsync(new ConsumeRequest { Offset = 13 }));
        Assert.Equal(["21-29 retention"], await SeenAsync(new ConsumeRequest { Offset = 21 }));
        Assert.Empty(await SeenAsync(new ConsumeRequest { Offset = 30 }));
    }

    [Fact]
    public async Task Consumer_that_waits_is_told_of_a_gap_when_it_comes()
    {
        PartitionLog log = _node.Parts.Log("t");
        var seen = new TaskCompletionSource<Gap>();
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true }, gapSeen: seen.SetResult);
        await using IAsyncEnumerator<Record> records = consumer.ReadAsync().GetAsyncEnumerator();
        ValueTask<bool> next = records.MoveNextAsync();
        await LoseAsync(log, 0, 4, GapReason.Retention);
        Assert.Equal(4, (await seen.Task.InTimeAsync()).LastOffset);
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        Assert.True(await next.AsTask().InTimeAsync());
        Assert.Equal(5, records.Current.Offset);
    }

    [Fact]
    public async Task Request_that_makes_no_sense_is_refused()
    {
        await AssertRefusedAsync(ErrorCode.TopicNotFound, new ConsumeRequest { Topic = "other" });
        await AssertRefusedAsync(ErrorCode.PartitionNotFound, new ConsumeRequest { Topic = "t", Partition = 1 });
        await AssertRefusedAsync(ErrorCode.OffsetOutOfRange, new ConsumeRequest { Topic = "t", Offset = 1 });
        await AssertRefusedAsync(ErrorCode.OffsetOutOfRange, new ConsumeRequest { Topic = "t", Offset = -1 });
        await AssertRefusedAsync(ErrorCode.InvalidArgument, new ConsumeRequest { Topic = "t", Last = -1 });
        await AssertRefusedAsync(ErrorCode.InvalidArgument, new ConsumeRequest { Topic = "t", MaxBytes = -1 });
    }

    [Fact]
    public async Task Consumer_follows_what_is_appended()
    {
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true });
        await using IAsyncEnumerator<Record> records = consumer.ReadAsync().GetAsyncEnumerator();
        for (int i = 0; i < 50; i++)
        {
            ValueTask<bool> next = records.MoveNextAsync();
            await _node.FillAsync("t", $"value {i}");
            Assert.True(await next.InTimeAsync());
            Assert.Equal((i, $"value {i}"), ((int)records.Current.Offset, Encoding.UTF8.GetString(records.Current.Value!.Value.Span)));
        }
    }

    [Fact]
    public async Task Consumer_that_stops_at_the_end_gets_nothing_that_came_later()
    {
        await _node.FillAsync("t", "a", "b");
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = true, MaxBytes = 1 });
        var offsets = new List<long>();
        await foreach (Record record in consumer.ReadAsync())
        {
            offsets.Add(record.Offset);
            await _node.FillAsync("t", "later");
        }

        Assert.Equal([0, 1], offsets);
    }

    [Fact]
    public async Task Deleted_topic_ends_its_consumers()
    {
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true });
        await using IAsyncEnumerator<Record> records = consumer.ReadAsync().GetAsyncEnumerator();
        await _node.FillAsync("t", "a");
        Assert.True(await records.MoveNextAsync().InTimeAsync());
        await _node.Parts.Controller.DeleteTopicAsync("t");
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => records.MoveNextAsync().InTimeAsync())).Code);
    }

    [Fact]
    public async Task Consumer_that_does_not_read_stops_nobody_and_nothing_piles_up_for_it()
    {
        string large = new('x', 200_000);
        for (int i = 0; i < 200; i++)
            await _node.Parts.Log("t").AppendAsync(Batches.Of(large), AckLevel.Written);

        await _node.Parts.Log("t").WaitForDurableAsync(200, CancellationToken.None).InTimeAsync();
        using EdgeStreamClient idle = _node.NewClient();
        var stuck = new List<Consumer>();
        for (int i = 0; i < 8; i++)
            stuck.Add(await idle.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true, MaxBytes = 1024 * 1024 }));

        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = true });
        long before = GC.GetTotalMemory(forceFullCollection: true);
        int read = 0;
        await foreach (ReadOnlyMemory<byte> _ in consumer.ReadBatchesAsync())
            read++;

        Assert.Equal(200, read);

        // Eight copies of the log would be 320 MB.
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 64 * 1024 * 1024);
        stuck.ForEach(one => one.Dispose());
    }

    [Fact]
    public async Task Stopping_node_ends_streams_at_once()
    {
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true }, patience: TimeSpan.Zero);
        Task<List<Record>> reading = ReadAllAsync(consumer);
        await using Producer producer = await _node.Client.ProduceAsync("t", patience: TimeSpan.Zero);
        await (await producer.SendAsync(new Record(0, null, null))).InTimeAsync();

        await _node.Server.StopAsync().WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(ErrorCode.Unavailable, (await Assert.ThrowsAsync<ClientException>(() => reading.InTimeAsync())).Code);
        await Assert.ThrowsAsync<ClientException>(async () => await (await producer.SendAsync(new Record(0, null, null))).InTimeAsync());
    }

    private async Task AssertReadsFromAsync(long offset, ConsumeRequest request)
    {
        request.Topic = "t";
        request.StopAtEnd = true;
        using Consumer consumer = await _node.Client.ConsumeAsync(request);
        List<Record> records = await ReadAllAsync(consumer).InTimeAsync();
        Assert.Equal(Enumerable.Range((int)offset, 20 - (int)offset).Select(i => (long)i), records.Select(record => record.Offset));
        Assert.Equal(20, consumer.DurableEnd);
    }

    private async Task AssertRefusedAsync(ErrorCode code, ConsumeRequest request)
    {
        var refused = await Assert.ThrowsAsync<ClientException>(async () =>
        {
            using Consumer consumer = await _node.Client.ConsumeAsync(request);
            await ReadAllAsync(consumer).InTimeAsync();
        });
        Assert.Equal(code, refused.Code);
    }

    private static async Task<List<Record>> ReadAllAsync(Consumer consumer)
    {
        var records = new List<Record>();
        await foreach (Record record in consumer.ReadAsync())
            records.Add(record);

        return records;
    }

    private static async Task LoseAsync(PartitionLog log, long first, long last, GapReason reason) =>
        await await log.EnqueueGapAsync(new Storage.Gaps.Gap(first, last, 100, 1, 2, reason, 3), CancellationToken.None);

    private async Task<List<string>> SeenAsync(ConsumeRequest request)
    {
        var seen = new List<string>();
        request.Topic = "t";
        request.StopAtEnd = true;
        using Consumer consumer = await _node.Client.ConsumeAsync(request, gapSeen: gap => seen.Add($"{gap.FirstOffset}-{gap.LastOffset} {gap.Reason}"));
        await foreach (Record record in consumer.ReadAsync())
            seen.Add($"{record.Offset}");

        return seen;
    }
}
