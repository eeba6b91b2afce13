using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Google.Protobuf;
using Grpc.Core;
using ZstdSharp;

namespace EdgeStream.Mirror.Tests;

/// <summary>What the hub refuses, and that nothing is changed by it.</summary>
public sealed class HostileEdgeTests : IAsyncLifetime
{
    private static readonly Guid Incarnation = Guid.NewGuid();

    private InProcessHub _hub = null!;
    private InProcessEdge _edge = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await InProcessHub.StartAsync();
        _edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
    }

    public async ValueTask DisposeAsync()
    {
        await _edge.DisposeAsync();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Log_of_another_incarnation_is_refused_and_nothing_is_changed()
    {
        using RawUplink uplink = await OpenedAsync();
        await uplink.SendChunkAsync("t", Batches.At(0, "a"));
        Assert.Equal(1, (await uplink.ReceiveAsync()).Ack.DurableEnd);

        V1.TopicRefused refused = (await uplink.OpenAsync("t", Guid.NewGuid())).Refused;
        Assert.Equal("INCARNATION_MISMATCH", refused.ErrorCode);
        Assert.Equal(["a"], Values);
        using RawUplink again = await OpenedAsync(resume: 1);
    }

    [Fact]
    public async Task Edge_that_has_less_than_the_hub_is_refused()
    {
        using RawUplink uplink = await OpenedAsync();
        await uplink.SendChunkAsync("t", Batches.At(0, "a", "b"));
        await uplink.ReceiveAsync();
        V1.TopicRefused refused = (await uplink.OpenAsync("t", Incarnation, durable: 1)).Refused;
        Assert.Equal("OFFSET_CONFLICT", refused.ErrorCode);
        Assert.Contains("the edge has lost records", refused.Message, StringComparison.Ordinal);
        Assert.Equal(["a", "b"], Values);
    }

    [Fact]
    public async Task Corrupt_chunk_gap_and_overlap_are_refused_and_the_stream_goes_on()
    {
        using RawUplink uplink = await OpenedAsync();
        await uplink.SendChunkAsync("t", Batches.At(0, "a", "b"));
        await uplink.ReceiveAsync();
        byte[] corrupt = Batches.At(2, "c");
        corrupt[^1] ^= 1;
        foreach ((string code, byte[] chunk) in ((string, byte[])[])[
            ("CORRUPT_BATCH", corrupt), ("CORRUPT_BATCH", []), ("OFFSET_CONFLICT", Batches.At(3, "d")), ("OFFSET_CONFLICT", Batches.At(1, "x", "x"))])
        {
            Assert.Equal(code, await uplink.SendRefusedChunkAsync("t", chunk));

            // What comes behind a refusal is passed over until the topic is opened again.
            await uplink.SendChunkAsync("t", Batches.At(2, "c"));
            Assert.Equal(2, (await uplink.ReceiveAsync()).Ack.DurableEnd);
            Assert.Equal(2, (await uplink.OpenAsync("t", Incarnation)).Opened.ResumeOffset);
        }

        Assert.Equal(["a", "b"], Values);

        await uplink.SendChunkAsync("t", Batches.At(0, "a", "b"));
        Assert.Equal(2, (await uplink.ReceiveAsync()).Ack.DurableEnd);
        await uplink.SendChunkAsync("t", Batches.At(2, "c"));
        Assert.Equal(3, (await uplink.ReceiveAsync()).Ack.DurableEnd);
        Assert.Equal(["a", "b", "c"], Values);
    }

    [Theory]
    [InlineData("../../etc")]
    [InlineData("")]
    [InlineData("plain")]
    public async Task Topic_that_is_not_the_edges_to_have_is_refused(string topic)
    {
        await _hub.Parts.Controller.CreateTopicAsync("plain", 1, new TopicSettings());
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        Assert.NotNull((await uplink.OpenAsync(topic, Incarnation)).Refused);
        Assert.Equal(["plain"], _hub.Parts.Controller.Current.Topics.Keys);
    }

    [Fact]
    public async Task Incarnation_that_is_none_is_refused()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        await uplink.SendAsync(new V1.EdgeMessage { Open = new V1.OpenTopic { Topic = "t", Incarnation = "{not-one}" } });
        Assert.Equal("INVALID_ARGUMENT", (await uplink.ReceiveAsync()).Refused.ErrorCode);
    }

    [Fact]
    public async Task Partition_of_another_geo_location_is_out_of_reach()
    {
        await using InProcessEdge south = await InProcessEdge.JoinAsync(_hub, "south", "t");
        await south.FillAsync("t", 10);
        await south.IsMirroredAsync(_hub, "t");

        // The same topic, even the same incarnation: it is a partition of its own that the name in the certificate leads to.
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        Assert.Equal("north", uplink.Welcome.GeoLocation);
        V1.TopicOpened opened = (await uplink.OpenAsync("t", south.Log("t").Manifest.Incarnation)).Opened;
        Assert.Equal((1, 0L), (opened.Partition, opened.ResumeOffset));
        await uplink.SendChunkAsync("t", Batches.At(0, "mine"));
        await uplink.ReceiveAsync();
        Assert.Equal(["mine"], Values);
        await south.IsMirroredAsync(_hub, "t");
    }

    [Fact]
    public async Task Edge_that_sends_more_than_its_credit_is_cut_off()
    {
        using RawUplink uplink = await OpenedAsync();
        using var syncMayRun = new ManualResetEventSlim(false);
        _hub.Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
        byte[] batch = Batches.Of(new string('x', 1_000_000));
        long sent = 0;
        try
        {
            for (long offset = 0; offset < 20; offset++)
            {
                Storage.Records.RecordBatchHeader.SetBaseOffset(batch, offset);
                await uplink.SendChunkAsync("t", batch);
                sent += batch.Length;
            }
        }
        catch (Exception ended) when (ended is RpcException or InvalidOperationException or IOException)
        {
        }

        syncMayRun.Set();
        RpcException error = await uplink.EndsAsync();
        Assert.Equal("INVALID_ARGUMENT", error.Trailers.GetValue(RpcErrors.CodeTrailer));
        Assert.True(sent > uplink.Welcome.WindowBytes);
        _hub.Files.BeforeSync = null;
    }

    [Fact]
    public async Task Nothing_stays_taken_of_the_hubs_memory_when_streams_end_in_the_midst()
    {
        byte[] batch = Batches.Of(new string('x', 300_000));
        for (int i = 0; i < 10; i++)
        {
            using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
            long resume = (await uplink.OpenAsync("t", Incarnation)).Opened.ResumeOffset;
            using var syncMayRun = new ManualResetEventSlim(false);
            _hub.Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
            for (int n = 0; n < 5; n++)
            {
                Storage.Records.RecordBatchHeader.SetBaseOffset(batch, resume + n);
                await uplink.SendChunkAsync("t", batch);
            }

            await Eventually.HoldsAsync(() => _hub.Flow.ArrivedBytes > batch.Length, "some of it has arrived");
            uplink.Dispose();
            _hub.Files.BeforeSync = null;
            syncMayRun.Set();
        }

        await Eventually.HoldsAsync(() => _hub.Flow.ArrivedBytes == 0, "all of it was given back");
        Assert.Equal(HubFlow.MaxWindowBytes, _hub.Flow.WindowBytes);
    }

    [Fact]
    public async Task Replaced_card_that_has_held_back_its_Hello_stays_out_and_the_new_cards_stream_goes_on()
    {
        using RawUplink replaced = await RawUplink.BeginAsync(_hub, _edge.Identity.Certificate);
        await using InProcessEdge card = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
        using RawUplink current = await RawUplink.ConnectAsync(_hub, card.Identity.Certificate, newStart: true);

        // With a token of its own making, too: it is not to be looked at.
        var refused = await Assert.ThrowsAsync<RpcException>(() => replaced.SayHelloAsync("9999999999-x"));
        Assert.Equal(StatusCode.Unauthenticated, refused.StatusCode);
        Assert.Contains("has joined again since", refused.Status.Detail, StringComparison.Ordinal);

        Assert.NotNull((await current.OpenAsync("t", Incarnation)).Opened);
        await current.SendChunkAsync("t", Batches.At(0, "a"));
        Assert.Equal(1, (await current.ReceiveAsync()).Ack.DurableEnd);
        using RawUplink again = await RawUplink.ConnectAsync(_hub, card.Identity.Certificate, current.Welcome.StartToken);
    }

    [Fact]
    public async Task Edge_that_does_not_read_makes_way_for_its_next_connection()
    {
        RawUplink deaf = await OpenedAsync();
        Task flooding = Task.Run(async () =>
        {
            // Each is answered by a refusal; in the end the hub cannot get rid of them.
            var nonsense = new V1.EdgeMessage { Open = new V1.OpenTopic { Topic = "../" + new string('x', 1_000), Incarnation = "" } };
            for (int i = 0; i < 100_000; i++)
                await deaf.SendAsync(nonsense);
        });
        using RawUplink next = await OpenedAsync();
        await next.SendChunkAsync("t", Batches.At(0, "a"));
        Assert.Equal(1, (await next.ReceiveAsync()).Ack.DurableEnd);
        await flooding.ContinueWith(_ => { }, TaskScheduler.Default).InTimeAsync();
        deaf.Dispose();
    }

    [Fact]
    public async Task Edge_that_does_not_read_is_cut_off_and_keeps_none_of_the_hubs_memory()
    {
        await _hub.StopServingAsync();
        var time = new HeldTimers(HubSession.MaxUnread);
        _hub.Time = time;
        await _hub.StartServingAsync();
        using RawUplink deaf = await OpenedAsync();
        string name = new('x', 200);
        Assert.NotNull((await deaf.OpenAsync(name, Incarnation)).Opened);
        for (int i = 0; i < 1500; i++)
            await deaf.SendAsync(new V1.EdgeMessage { Gap = new V1.MirrorGap { Topic = name, FirstOffset = 0, LastOffset = 0 } });

        byte[] batch = Batches.Of(new string('x', 1_000_000));
        await deaf.SendChunkAsync("t", batch);
        await Eventually.HoldsAsync(() => _hub.LogOf("north", "t")!.Offsets.Durable == 1 && time.Count == 1, "it is stored, and the answers wait");
        Assert.Equal(batch.Length, _hub.Flow.ArrivedBytes);
        time.RunOut();
        await Eventually.HoldsAsync(() => _hub.Flow.ArrivedBytes == 0, "it takes no memory any more");
        await deaf.EndsAsync();
    }

    [Fact]
    public async Task First_piece_is_no_larger_than_what_the_others_may_be_together()
    {
        using RawUplink uplink = await OpenedAsync();
        try
        {
            await uplink.SendAsync(PieceOf("t", new byte[HubFlow.MaxWindowBytes + (1024 * 1024) + 1], 0, more: false));
        }
        catch (Exception ended) when (ended is RpcException or InvalidOperationException or IOException)
        {
        }

        RpcException error = await uplink.EndsAsync();
        Assert.True(error.Trailers.GetValue(RpcErrors.CodeTrailer) == "INVALID_ARGUMENT", error.ToString());
    }

    [Fact]
    public async Task Frames_that_inflate_take_no_memory_of_a_hub_whose_answers_are_not_read()
    {
        using RawUplink deaf = await OpenedAsync();
        byte[] frame = Frame(new byte[ChunkCodec.MaxUncompressedBytes]);
        Assert.True(frame.Length < 1000);
        string name = new('x', 200);
        Assert.NotNull((await deaf.OpenAsync(name, Incarnation)).Opened);
        for (int i = 0; i < 1500; i++)
            await deaf.SendAsync(new V1.EdgeMessage { Gap = new V1.MirrorGap { Topic = name, FirstOffset = 0, LastOffset = 0 } });

        long before = ResidentBytes();
        var bomb = new V1.Chunk { Topic = "t", Data = ByteString.CopyFrom(frame), UncompressedBytes = ChunkCodec.MaxUncompressedBytes };
        for (int i = 0; i < 300; i++)
            await deaf.SendAsync(new V1.EdgeMessage { Chunk = bomb });

        await Eventually.HoldsAsync(() => _hub.Flow.ArrivedBytes >= 300 * frame.Length, "all of them have arrived");
        await Eventually.HoldsAsync(() => _hub.Flow.WholeBytes == 0, "nothing is kept of what they have become");
        Assert.True(ResidentBytes() - before < 200L * 1024 * 1024, $"{ResidentBytes() - before} bytes more are taken");
    }

    [Fact]
    public async Task What_a_good_frame_has_become_is_given_back_when_it_is_stored_whether_or_not_the_answer_is_read()
    {
        using RawUplink deaf = await OpenedAsync();
        byte[] batch = Batches.Of(new string('x', 1_000_000));
        using var syncMayRun = new ManualResetEventSlim(false);
        _hub.Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
        await deaf.SendAsync(new V1.EdgeMessage
        {
            Chunk = new V1.Chunk { Topic = "t", Data = ByteString.CopyFrom(Frame(batch)), UncompressedBytes = batch.Length },
        });
        await Eventually.HoldsAsync(() => _hub.Flow.WholeBytes == batch.Length, "it counts while it is written");
        _hub.Files.BeforeSync = null;
        syncMayRun.Set();
        await Eventually.HoldsAsync(() => _hub.Flow.WholeBytes == 0, "it counts no more");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Chunk_that_is_being_written_is_in_the_way_of_no_other(bool saysSize)
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        byte[] batch = Batches.Of(new string('x', 2_000_000));
        foreach (string topic in (string[])["a", "b"])
            Assert.NotNull((await uplink.OpenAsync(topic, Incarnation)).Opened);

        using var syncMayRun = new ManualResetEventSlim(false);
        _hub.Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
        int written = 0;
        foreach (string topic in (string[])["a", "b"])
        {
            // It might become the largest, and is charged for what it is once it is whole.
            await uplink.SendAsync(PieceOf(topic, batch.AsSpan(0, batch.Length / 2), saysSize ? ChunkCodec.MaxUncompressedBytes : 0, more: true));
            await uplink.SendAsync(PieceOf(topic, batch.AsSpan(batch.Length / 2), 0, more: false));
            written += batch.Length;
            await Eventually.HoldsAsync(() => _hub.Flow.WholeBytes == written, "it is being written");
            await Eventually.HoldsAsync(() => _hub.Flow.UnfinishedBytes == 0, "it is not unfinished any more");
        }

        _hub.Files.BeforeSync = null;
        syncMayRun.Set();
        foreach (string topic in (string[])["a", "b"])
        {
            await uplink.ReceiveAsync();
            V1.MirrorAck ack = (await uplink.ReceiveAsync()).Ack;
            Assert.Equal((topic, 1L), (ack.Topic, ack.DurableEnd));
        }

        Assert.Equal(0, _hub.Flow.WholeBytes);
    }

    [Fact]
    public async Task Old_edge_has_chunks_of_many_topics_under_way_at_once()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        byte[] batch = Batches.Of(new string('x', 200_000)), large = Batches.Of(new string('x', 1_500_000));
        string[] topics = [.. Enumerable.Range(0, 10).Select(n => $"t{n}")];
        byte[] BatchOf(string topic) => topic == "t0" ? large : batch;
        foreach (string topic in topics)
            Assert.NotNull((await uplink.OpenAsync(topic, Incarnation)).Opened);

        // It says of none how large it becomes, and lets all of them take turns.
        for (int third = 0; third < 3; third++)
        {
            foreach (string topic in topics)
            {
                int size = BatchOf(topic).Length / 3;
                ReadOnlySpan<byte> rest = BatchOf(topic).AsSpan(third * size);
                await uplink.SendAsync(PieceOf(topic, third < 2 ? rest[..size] : rest, 0, more: third < 2));
                V1.MirrorAck ack = (await uplink.ReceiveAsync()).Ack;
                Assert.Equal((topic, third < 2 ? 0L : 1L), (ack.Topic, ack.DurableEnd));
            }
        }

        await Eventually.HoldsAsync(() => _hub.Flow is { UnfinishedBytes: 0, WholeBytes: 0 }, "all of it was given back");
    }

    [Theory]
    [InlineData(ChunkCodec.MaxUncompressedBytes, 19)]

    // Of an old edge: as much as there is of each.
    [InlineData(0, 14)]
    public async Task Unfinished_chunks_of_one_edge_are_bounded_however_many_topics_it_has(int chunkBytes, int expected)
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        byte[] piece = new byte[1_000_000];
        int refused = 0;
        for (int i = 0; i < 20; i++)
        {
            Assert.NotNull((await uplink.OpenAsync($"t{i}", Incarnation)).Opened);
            await uplink.SendAsync(PieceOf($"t{i}", piece, chunkBytes, more: true));
            if ((await uplink.ReceiveAsync()) is { Refused: { } refusal })
            {
                Assert.Equal("UNAVAILABLE", refusal.ErrorCode);
                Assert.Equal(piece.Length, (await uplink.ReceiveAsync()).Ack.PieceBytes);
                refused++;
            }

            Assert.True(_hub.Flow.UnfinishedBytes <= ChunkCodec.MaxUnfinishedBytes);
        }

        Assert.Equal(expected, refused);
        uplink.Dispose();
        await Eventually.HoldsAsync(() => _hub.Flow.UnfinishedBytes == 0, "all of it was given back");
    }

    [Fact]
    public async Task Message_that_is_large_without_data_ends_the_stream()
    {
        using RawUplink uplink = await OpenedAsync();
        await uplink.SendAsync(new V1.EdgeMessage { Diverged = new V1.Diverged { Topic = "t", Message = new string('x', 1_000_000) } });
        Assert.Equal("INVALID_ARGUMENT", (await uplink.EndsAsync()).Trailers.GetValue(RpcErrors.CodeTrailer));
        Assert.Null(_hub.Parts.Spu.Partitions.Single().MirrorProblem);
    }

    [Theory]
    [InlineData(1000, 0)]
    [InlineData(9, 9)]
    [InlineData(long.MaxValue - 1, 0)]
    public async Task Gap_beyond_what_the_edge_has_is_refused_and_nothing_is_changed(long last, long durable)
    {
        using RawUplink uplink = await OpenedAsync();
        var gap = new V1.MirrorGap { Topic = "t", FirstOffset = 0, LastOffset = last, Reason = "retention", Durable = durable };
        await uplink.SendAsync(new V1.EdgeMessage { Gap = gap });
        Assert.Equal("INVALID_ARGUMENT", (await uplink.ReceiveAsync()).Refused.ErrorCode);
        Assert.Equal(0, (await uplink.ReceiveAsync()).Ack.DurableEnd);
        Assert.Equal(0, _hub.LogOf("north", "t")!.Offsets.End);
        Assert.Empty(_hub.LogOf("north", "t")!.Gaps);

        // Up to the end it may be.
        Assert.NotNull((await uplink.OpenAsync("t", Incarnation)).Opened);
        await uplink.SendAsync(new V1.EdgeMessage { Gap = new V1.MirrorGap(gap) { LastOffset = 8, Durable = 9 } });
        Assert.Equal(9, (await uplink.ReceiveAsync()).Ack.DurableEnd);
    }

    [Fact]
    public async Task Gap_of_a_topic_that_is_refused_is_acknowledged_like_a_piece()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        await uplink.SendAsync(new V1.EdgeMessage { Gap = new V1.MirrorGap { Topic = "t", FirstOffset = 0, LastOffset = 5, Durable = 6 } });
        Assert.Equal(0, (await uplink.ReceiveAsync()).Ack.PieceBytes);
    }

    [Fact]
    public async Task Stream_that_does_not_begin_with_hello_is_refused()
    {
        using var channel = _hub.ChannelAs(_edge.Identity.Certificate);
        using var call = new V1.Mirror.MirrorClient(channel).Uplink();
        await call.RequestStream.WriteAsync(new V1.EdgeMessage { Chunk = new V1.Chunk { Topic = "t", Data = ByteString.CopyFrom(Batches.Of("a")) } });
        var error = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        Assert.Equal("INVALID_ARGUMENT", error.Trailers.GetValue(RpcErrors.CodeTrailer));
    }

    [Fact]
    public async Task Chunk_of_a_topic_that_was_not_opened_is_passed_over()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        byte[] batch = Batches.At(0, "a");
        await uplink.SendChunkAsync("t", batch);
        Assert.Equal(batch.Length, (await uplink.ReceiveAsync()).Ack.PieceBytes);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);
    }

    private static V1.EdgeMessage PieceOf(string topic, ReadOnlySpan<byte> data, int chunkBytes, bool more) => new()
    {
        Chunk = new V1.Chunk { Topic = topic, Data = ByteString.CopyFrom(data), ChunkBytes = chunkBytes, More = more },
    };

    private static long ResidentBytes()
    {
        GC.Collect();
        return Environment.WorkingSet;
    }

    private static byte[] Frame(byte[] batches)
    {
        using Compressor compressor = ChunkCodec.CreateCompressor();
        return compressor.Wrap(batches).ToArray();
    }

    private List<string> Values => Batches.ReadValues(_hub.LogOf("north", "t")!);

    private async Task<RawUplink> OpenedAsync(long resume = 0)
    {
        RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        Assert.Equal(resume, (await uplink.OpenAsync("t", Incarnation)).Opened.ResumeOffset);
        return uplink;
    }
}
