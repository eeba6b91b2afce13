using System.Buffers;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>Producers and consumers whose partition another SPU comes to lead.</summary>
public sealed class FollowingTests(NatsFixture nats) : IAsyncLifetime
{
    private readonly ConcurrentQueue<string> _interruptions = new();
    private InProcessCluster _cluster = null!;
    private EdgeStreamClient _client = null!;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _cluster = await InProcessCluster.StartAsync(nats);
        _client = _cluster.Connect();
        await _cluster.CreateTopicAsync("t", 1);
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task Leader_that_changes_while_records_come_and_go_loses_repeats_and_swaps_none()
    {
        const int Moves = 4, BetweenMoves = 300;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        Task<List<long>> producing = ProduceUntilAsync(stop.Token);
        var read = new ConcurrentQueue<string>();
        Task reading = ReadAsync(new ConsumeRequest { Topic = "t", Beginning = true }, read, stop.Token);
        for (int move = 0; move < Moves; move++)
        {
            int seen = read.Count;
            await Eventually.HoldsAsync(() => read.Count >= seen + BetweenMoves || producing.IsFaulted || reading.IsFaulted, "it is read on");
            await _cluster.MoveAsync("t", 0, to: 2 - (move % 2));
        }

        int before = read.Count;
        await Eventually.HoldsAsync(() => read.Count >= before + BetweenMoves || producing.IsFaulted || reading.IsFaulted, "it is read on in the end");
        await stop.CancelAsync();
        List<long> acknowledged = await producing.InTimeAsync();
        await reading.InTimeAsync();

        Assert.NotEmpty(_interruptions);
        Assert.Equal(Numbers(acknowledged.Count).Select(long.Parse), acknowledged);
        Assert.Equal(Numbers(read.Count), read);
        var all = new ConcurrentQueue<string>();
        await ReadAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = true }, all, Cancelled).InTimeAsync();
        Assert.Equal(Numbers(acknowledged.Count), all);
    }

    [Fact]
    public async Task Producer_that_writes_seldom_goes_on_where_its_numbers_are_not_known_any_more()
    {
        await using Producer seldom = await _client.ProduceAsync("t", interrupted: _interruptions.Enqueue);
        Assert.Equal(0, await await seldom.SendAsync(Value("0"), Cancelled).AsTask().InTimeAsync());
        await ForgetNumbersAsync();
        _cluster.Spus[0].Link.Fault = LinkFault.Cut;
        await Eventually.HoldsAsync(() => !_interruptions.IsEmpty, "its stream has ended");
        await _cluster.MoveAsync("t", 0, to: 2);

        List<long> offsets = [];
        foreach (string number in Numbers(3))
            offsets.Add(await await seldom.SendAsync(Value(number), Cancelled).AsTask().InTimeAsync());

        Assert.Equal([offsets[0], offsets[0] + 1, offsets[0] + 2], offsets);
    }

    [Fact]
    public async Task Producer_that_has_paused_goes_on_though_its_leader_has_ceased_to_be_one_meanwhile()
    {
        await using Producer seldom = await _client.ProduceAsync("t", interrupted: _interruptions.Enqueue);
        await (await seldom.SendAsync(Value("0"), Cancelled)).InTimeAsync();
        await ForgetNumbersAsync();
        await _cluster.MoveAsync("t", 0, to: 2);

        // The pause is what this is about.
        await Task.Delay(Producer.Pause, Cancelled);
        long first = await await seldom.SendAsync(Value("1"), Cancelled).AsTask().InTimeAsync();
        Assert.Equal(first + 1, await await seldom.SendAsync(Value("2"), Cancelled).AsTask().InTimeAsync());
        Assert.NotEmpty(_interruptions);
    }

    [Fact]
    public async Task Batch_whose_number_is_refused_the_first_time_it_is_sent_gets_another()
    {
        await using Producer seldom = await _client.ProduceAsync("t", interrupted: _interruptions.Enqueue);
        await (await seldom.SendAsync(Value("0"), Cancelled)).InTimeAsync();
        await ForgetNumbersAsync();

        List<Task<long>> sent = [];
        foreach (string number in Numbers(100))
            sent.Add(await seldom.SendAsync(Value(number), Cancelled));

        long[] offsets = await Task.WhenAll(sent).InTimeAsync();
        Assert.Equal(Enumerable.Range(0, 100).Select(index => offsets[0] + index), offsets);
        Assert.Empty(_interruptions);
    }

    [Fact]
    public async Task Batch_that_was_sent_before_fails_where_it_cannot_be_told_whether_it_was_appended()
    {
        await using Producer producer = await _client.ProduceAsync("t", interrupted: _interruptions.Enqueue);
        await (await producer.SendAsync(Value("0"), Cancelled)).InTimeAsync();
        _cluster.Spus[0].Link.Fault = LinkFault.Frozen;
        Task<long> unknown = await producer.SendAsync(Value("1"), Cancelled);
        await ForgetNumbersAsync();
        await _cluster.MoveAsync("t", 0, to: 2, tellOld: false);
        ClientException failed = await Assert.ThrowsAsync<ClientException>(() => unknown.InTimeAsync());
        Assert.Equal(ErrorCode.SequenceConflict, failed.Code);
    }

    [Fact]
    public async Task Spu_that_hangs_with_its_connections_open_keeps_nobody_once_another_leads()
    {
        await using Producer producer = await _client.ProduceAsync("t");
        await (await producer.SendAsync(Value("0"), Cancelled)).InTimeAsync();
        var read = new ConcurrentQueue<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        Task reading = ReadAsync(new ConsumeRequest { Topic = "t", Beginning = true }, read, stop.Token);
        await Eventually.HoldsAsync(() => read.Count == 1, "the first is read");

        _cluster.Spus[0].Link.Fault = LinkFault.Frozen;
        Task<long> acknowledged = await producer.SendAsync(Value("1"), Cancelled);
        await _cluster.MoveAsync("t", 0, to: 2, tellOld: false);

        Assert.Equal(1, await acknowledged.InTimeAsync());
        await Eventually.HoldsAsync(() => read.Count == 2, "the second is read");
        Assert.Equal(Numbers(2), read);
        await stop.CancelAsync();
        await reading;
    }

    [Fact]
    public async Task Spu_that_does_not_know_its_successor_keeps_no_reader()
    {
        var read = new ConcurrentQueue<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        await SendAsync("0");
        Task reading = ReadAsync(new ConsumeRequest { Topic = "t", Beginning = true }, read, stop.Token);
        await Eventually.HoldsAsync(() => read.Count == 1, "the first is read");

        await _cluster.MoveAsync("t", 0, to: 2, tellOld: false);
        await SendAsync("1");

        await Eventually.HoldsAsync(() => read.Count == 2, "the second is read where it is");
        Assert.Contains(_interruptions, told => told.Contains("t/0 is led by SPU 2", StringComparison.Ordinal));
        await stop.CancelAsync();
        await reading;
    }

    [Fact]
    public async Task Reader_of_what_there_was_stops_there_wherever_it_reads_on()
    {
        foreach (string number in Numbers(3))
            await SendAsync(number);

        using Consumer consumer = await _client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = true, MaxBytes = 1 });
        List<string> read = [];
        await foreach (Record record in consumer.ReadAsync(Cancelled))
        {
            read.Add(Text(record));
            if (read.Count == 1)
            {
                _cluster.Spus[0].Link.Fault = LinkFault.Cut;
                await _cluster.MoveAsync("t", 0, to: 2);
                await SendAsync("later");
            }
        }

        Assert.Equal(Numbers(3), read);
    }

    [Fact]
    public async Task Batches_come_once_wherever_they_are_read()
    {
        foreach (string number in Numbers(2))
            await SendAsync(number);

        using Consumer consumer = await _client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true });
        List<long> offsets = [];
        await foreach (ReadOnlyMemory<byte> batch in consumer.ReadBatchesAsync(Cancelled))
        {
            Assert.True(RecordBatchHeader.TryRead(batch.Span, out RecordBatchHeader header, out _));
            offsets.Add(header.BaseOffset);
            if (header.BaseOffset == 1)
            {
                await _cluster.MoveAsync("t", 0, to: 2);
                await SendAsync("2");
            }

            if (header.BaseOffset == 2)
                break;
        }

        Assert.Equal([0, 1, 2], offsets);
    }

    [Fact]
    public async Task Patience_that_is_over_says_what_was_wrong()
    {
        using Consumer consumer = await _client.ConsumeAsync(new ConsumeRequest { Topic = "t" }, patience: TimeSpan.Zero);
        _cluster.Spus[0].Link.Fault = LinkFault.Cut;
        var lost = await Assert.ThrowsAsync<ClientException>(async () =>
        {
            await foreach (Record _ in consumer.ReadAsync(Cancelled))
            {
            }
        }).InTimeAsync();
        Assert.Equal(ErrorCode.Unavailable, lost.Code);
        Assert.Contains(_cluster.Spus[0].Endpoint, lost.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Any_endpoint_that_answers_will_do_and_is_asked_first_the_next_time()
    {
        string dead = $"https://127.0.0.1:{FreePort.Take()}";
        using EdgeStreamClient client = _cluster.Connect(dead, _cluster.Standby, _cluster.Active);
        Assert.Equal(dead, client.Endpoint);
        Assert.Equal("t", Assert.Single((await client.GetTopologyAsync().InTimeAsync()).Topics).Name);
        Assert.Equal(_cluster.Active, client.Endpoint);

        using EdgeStreamClient nowhere = _cluster.Connect(dead, _cluster.Standby);
        ClientException none = await Assert.ThrowsAsync<ClientException>(() => nowhere.GetTopologyAsync().InTimeAsync());
        Assert.Equal(ErrorCode.Unavailable, none.Code);
        Assert.Contains($"no answer from {dead} (", none.Message, StringComparison.Ordinal);
        Assert.Contains($"{_cluster.Standby} (this SC stands by; ask the active one)", none.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Many_that_lose_their_leader_ask_no_more_often_than_a_few()
    {
        const int Many = 100;
        Producer[] producers = await Task.WhenAll(Enumerable.Range(0, Many).Select(_ => _client.ProduceAsync("t"))).InTimeAsync();
        Assert.InRange(_cluster.Asked, 1, 3);
        await Task.WhenAll(producers.Select(SendAndWaitAsync)).InTimeAsync();

        int before = _cluster.Asked;
        long start = Stopwatch.GetTimestamp();
        _cluster.Spus[0].Link.Fault = LinkFault.Cut;
        Task sending = Task.WhenAll(producers.Select(SendAndWaitAsync));
        await Eventually.HoldsAsync(() => _cluster.Asked >= before + 3, "they look for the leader");
        await _cluster.MoveAsync("t", 0, to: 2);
        await sending.InTimeAsync();

        Assert.InRange(_cluster.Asked - before, 3, 2 + (4 * Stopwatch.GetElapsedTime(start).TotalSeconds));
        foreach (Producer producer in producers)
            await producer.DisposeAsync();

        async Task SendAndWaitAsync(Producer producer) => await await producer.SendAsync(Value("x"), Cancelled);
    }

    [Fact]
    public async Task Reader_that_hears_nothing_is_sent_the_topology_only_where_it_has_changed()
    {
        var read = new ConcurrentQueue<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        await SendAsync("0");
        Task reading = ReadAsync(new ConsumeRequest { Topic = "t", Beginning = true }, read, stop.Token);
        await Eventually.HoldsAsync(() => read.Count == 1, "the first is read");
        (int asked, int whole) = (_cluster.Asked, _cluster.SentWhole);
        await Eventually.HoldsAsync(() => _cluster.Asked >= asked + 2, "it asks whether another leads");
        Assert.Equal(whole, _cluster.SentWhole);

        // Who wants to see it is sent it.
        Assert.Equal("t", Assert.Single((await _client.GetTopologyAsync().InTimeAsync()).Topics).Name);
        Assert.Equal(whole + 1, _cluster.SentWhole);
        await _cluster.CreateTopicAsync("u", 2);
        await Eventually.HoldsAsync(() => _cluster.SentWhole == whole + 2, "it is sent what has changed");
        await stop.CancelAsync();
        await reading;
    }

    [Fact]
    public async Task Partitions_are_gathered_from_those_who_lead_them_and_who_does_not_answer_is_named()
    {
        await _cluster.CreateTopicAsync("a", 2, 1);
        await SendAsync("0");
        Assert.Equal(
            [("a", 0, 0L, ""), ("a", 1, 0L, ""), ("t", 0, 1L, "")],
            (await _client.ListPartitionsAsync().InTimeAsync()).Select(status => (status.Partition.Topic, status.Partition.Partition_, status.Durable, status.Problem)));

        _cluster.Spus[1].Link.Fault = LinkFault.Cut;
        IReadOnlyList<PartitionStatus> partitions = await _client.ListPartitionsAsync("a").InTimeAsync();
        Assert.StartsWith("SPU 2 does not answer", partitions[0].Problem, StringComparison.Ordinal);
        Assert.Equal("", partitions[1].Problem);
        Assert.Equal(ErrorCode.TopicNotFound, (await Assert.ThrowsAsync<ClientException>(() => _client.ListPartitionsAsync("b"))).Code);
    }

    /// <summary>Appends numbers until it is told to stop; their offsets.</summary>
    private async Task<List<long>> ProduceUntilAsync(CancellationToken stop)
    {
        List<Task<long>> acknowledged = [];
        await using (Producer producer = await _client.ProduceAsync("t", interrupted: _interruptions.Enqueue))
        {
            while (!stop.IsCancellationRequested)
            {
                acknowledged.Add(await producer.SendAsync(Value(acknowledged.Count.ToString(CultureInfo.InvariantCulture)), Cancelled));

                // As many on their way as make a leader change interesting.
                if (acknowledged.Count >= 50)
                    await acknowledged[^50].InTimeAsync();
            }
        }

        return [.. await Task.WhenAll(acknowledged)];
    }

    /// <summary>As many others append as a log remembers.</summary>
    private async Task ForgetNumbersAsync()
    {
        var batches = new ArrayBufferWriter<byte>();
        for (int producer = 0; producer < ProducerSequences.MaxProducers; producer++)
        {
            using var writer = new RecordBatchWriter(new RecordBatchOptions { ProducerId = producer, ProducerEpoch = 0, BaseSequence = 0 });
            writer.Append(Value("x"));
            batches.Write(writer.Build().Span);
        }

        await _cluster.Spus[0].Node.Find(new PartitionId("t", 0))!.Log.AppendAsync(batches.WrittenMemory, AckLevel.Durable).AsTask().InTimeAsync();
    }

    private async Task SendAsync(string value)
    {
        using EdgeStreamClient other = _cluster.Connect();
        await using Producer producer = await other.ProduceAsync("t");
        await (await producer.SendAsync(Value(value), Cancelled)).InTimeAsync();
    }

    private async Task ReadAsync(ConsumeRequest request, ConcurrentQueue<string> read, CancellationToken stop)
    {
        using Consumer consumer = await _client.ConsumeAsync(request, interrupted: _interruptions.Enqueue);
        try
        {
            await foreach (Record record in consumer.ReadAsync(stop))
                read.Enqueue(Text(record));
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }
    }

    private static IEnumerable<string> Numbers(int count) => Enumerable.Range(0, count).Select(number => number.ToString(CultureInfo.InvariantCulture));

    private static Record Value(string text) => new(0, 0, null, Encoding.ASCII.GetBytes(text), []);

    private static string Text(Record record) => Encoding.ASCII.GetString(record.Value!.Value.Span);
}
