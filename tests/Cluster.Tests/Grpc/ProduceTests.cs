using System.Buffers.Binary;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Grpc;

public sealed class ProduceTests : IAsyncLifetime
{
    private InProcessNode _node = null!;

    public static TheoryData<string> Damages =>
        ["wrong checksum", "length 2^31-1", "length -1", "no records", "half a batch", "nothing", "second of two"];

    public async ValueTask InitializeAsync()
    {
        _node = await InProcessNode.StartAsync(new LogOptions { MaxPendingBytes = 64 * 1024 });
        await _node.CreateTopicAsync("t");
    }

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Theory]
    [InlineData("none")]
    [InlineData("gzip")]
    [InlineData("snappy")]
    [InlineData("lz4")]
    [InlineData("zstd")]
    public async Task Produced_records_are_consumed_with_all_they_had(string compression)
    {
        string topic = $"t-{compression}";
        await _node.CreateTopicAsync(topic, compression);
        Record[] records = [.. Enumerable.Range(0, 1000).Select(i => new Record(
            i, 1_000_000 + i, i % 3 == 0 ? null : Encoding.UTF8.GetBytes($"key {i % 7}"), Encoding.UTF8.GetBytes($"value {i} " + new string('x', i % 50)),
            [new RecordHeader("h", Encoding.UTF8.GetBytes($"{i}"))]))];
        var offsets = new List<Task<long>>();
        await using (Producer producer = await _node.Client.ProduceAsync(topic))
        {
            foreach (Record record in records)
                offsets.Add(await producer.SendAsync(record));
        }

        Assert.Equal(records.Select(record => record.Offset), await Task.WhenAll(offsets).InTimeAsync());
        using Consumer consumer = await _node.Client.ConsumeAsync(new ConsumeRequest { Topic = topic, Beginning = true, StopAtEnd = true });
        int next = 0;
        await foreach (Record record in consumer.ReadAsync())
        {
            Record sent = records[next++];
            Assert.Equal((sent.Offset, sent.Timestamp), (record.Offset, record.Timestamp));
            Assert.Equal(sent.Key?.ToArray(), record.Key?.ToArray());
            Assert.Equal(sent.Value?.ToArray(), record.Value?.ToArray());
            Assert.Equal(sent.Headers[0].Value?.ToArray(), Assert.Single(record.Headers).Value?.ToArray());
        }

        Assert.Equal(records.Length, next);
    }

    [Fact]
    public async Task Largest_batch_gets_through()
    {
        await using Producer producer = await _node.Client.ProduceAsync("t");
        var largest = new Record(0, null, new byte[RecordBatchHeader.MaxBatchSize - RecordBatchHeader.Size - 13]);
        Assert.Equal(0, await (await producer.SendAsync(largest)).InTimeAsync());
        var larger = new Record(0, null, new byte[RecordBatchHeader.MaxBatchSize]);
        await Assert.ThrowsAsync<RecordTooLargeException>(async () => await producer.SendAsync(larger));
        Assert.Equal(1, await (await producer.SendAsync(new Record(0, null, null))).InTimeAsync());
    }

    [Theory]
    [InlineData("other", 0, ErrorCode.TopicNotFound)]
    [InlineData("t", 1, ErrorCode.PartitionNotFound)]
    [InlineData("t", -1, ErrorCode.PartitionNotFound)]
    public async Task Unknown_partition_is_refused(string topic, int partition, ErrorCode code)
    {
        Assert.Equal(code, (await Assert.ThrowsAsync<ClientException>(() => _node.Client.ProduceAsync(topic, partition))).Code);
        using GrpcChannel channel = _node.NewChannel();
        using var call = new DataPlane.DataPlaneClient(channel).Produce();
        await call.RequestStream.WriteAsync(new ProduceRequest { Open = new ProduceOpen { Topic = topic, Partition = partition } });
        await AssertEndsAsync(call, code);
    }

    [Fact]
    public async Task Stream_begins_with_the_partition()
    {
        using GrpcChannel channel = _node.NewChannel();
        using var call = new DataPlane.DataPlaneClient(channel).Produce();
        await call.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(Batches.Of("a")) });
        await AssertEndsAsync(call, ErrorCode.InvalidArgument);
    }

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task Corrupt_batch_ends_its_stream_alone_and_is_not_stored(string damage)
    {
        using GrpcChannel channel = _node.NewChannel();
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> bad = await OpenAsync(channel);
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> good = await OpenAsync(channel);
        Assert.Equal(0, (await ProduceAsync(bad, Batches.Of("before"))).BaseOffset);

        await bad.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(Damage(damage)) });
        await AssertEndsAsync(bad, ErrorCode.CorruptBatch);
        Assert.Equal(1, (await ProduceAsync(good, Batches.Of("other stream"))).BaseOffset);
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> later = await OpenAsync(channel);
        Assert.Equal(2, (await ProduceAsync(later, Batches.Of("later"))).BaseOffset);
        Assert.Equal(["before", "other stream", "later"], Batches.ReadValues(_node.Parts.Log("t")));
    }

    [Fact]
    public async Task Appends_before_a_corrupt_batch_are_acknowledged()
    {
        using GrpcChannel channel = _node.NewChannel();
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call = await OpenAsync(channel);
        for (int i = 0; i < 10; i++)
            await call.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(Batches.Of($"{i}")) });

        await call.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(Damage("wrong checksum")) });
        for (int i = 0; i < 10; i++)
        {
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
            Assert.Equal(i, call.ResponseStream.Current.BaseOffset);
        }

        await AssertEndsAsync(call, ErrorCode.CorruptBatch);
    }

    [Fact]
    public async Task Full_disk_is_told_and_the_next_producer_goes_on_when_there_is_room()
    {
        _node.Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        await using (Producer producer = await _node.Client.ProduceAsync("t"))
        {
            Task<long> refused = await producer.SendAsync(new Record(0, null, null));
            Assert.Equal(ErrorCode.StorageFull, (await Assert.ThrowsAsync<ClientException>(() => refused.InTimeAsync())).Code);
        }

        _node.Files.BeforeWrite = null;
        await using Producer again = await _node.Client.ProduceAsync("t");
        Assert.Equal(0, await (await again.SendAsync(new Record(0, null, null))).InTimeAsync());
    }

    [Fact]
    public async Task Failed_disk_is_told_as_such()
    {
        _node.Files.BeforeSync = _ => throw FaultyFiles.DiskBroken();
        await using Producer producer = await _node.Client.ProduceAsync("t");
        Task<long> failed = await producer.SendAsync(new Record(0, null, null));
        Assert.Equal(ErrorCode.StorageFailed, (await Assert.ThrowsAsync<ClientException>(() => failed.InTimeAsync())).Code);
        ListPartitionsResponse partitions = await _node.Client.CallAsync(client => client.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest()));
        Assert.Contains("I/O error", Assert.Single(partitions.Partitions).Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Slow_log_stops_the_producer_and_loses_nothing()
    {
        var syncMayRun = new ManualResetEventSlim(false);
        _node.Files.BeforeSync = name => Assert.True(!name.EndsWith(".log", StringComparison.Ordinal) || syncMayRun.Wait(Eventually.Deadline));
        byte[] batch = Batches.Of(new string('x', 60_000));
        const int Count = 400;
        using GrpcChannel channel = _node.NewChannel();
        using AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call = await OpenAsync(channel);
        Task producing = Task.Run(async () =>
        {
            for (int i = 0; i < Count; i++)
                await call.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(batch) });

            await call.RequestStream.CompleteAsync();
        });
        Task<List<long>> acknowledging = Task.Run(async () =>
        {
            var offsets = new List<long>();
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
                offsets.Add(call.ResponseStream.Current.BaseOffset);

            return offsets;
        });
        PartitionLog log = _node.Parts.Log("t");
        await Eventually.HoldsAsync(() => log.Offsets.End > 0, "the first is written");

        // 24 MB do not fit into what lies between the two.
        Assert.False(producing.IsCompleted);
        Assert.InRange(log.Offsets.End, 1, 2);
        syncMayRun.Set();
        await producing.InTimeAsync();
        Assert.Equal(Enumerable.Range(0, Count).Select(i => (long)i), await acknowledging.InTimeAsync());
    }

    private static byte[] Damage(string damage)
    {
        byte[] batch = Batches.Of("damaged");
        switch (damage)
        {
            case "wrong checksum":
                batch[^1] ^= 1;
                return batch;
            case "length 2^31-1":
                BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(8), int.MaxValue);
                return batch;
            case "length -1":
                BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(8), -1);
                return batch;
            case "no records":
                batch.AsSpan(RecordBatchHeader.Size).Fill(0xFF);
                BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(21)));
                Assert.True(RecordBatchHeader.VerifyChecksum(batch));
                return batch;
            case "half a batch":
                return batch[..(batch.Length / 2)];
            case "nothing":
                return [];
            default:
                return [.. Batches.Of("whole"), .. Damage("wrong checksum")];
        }
    }

    private static async Task<AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse>> OpenAsync(GrpcChannel channel)
    {
        AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call = new DataPlane.DataPlaneClient(channel).Produce();
        await call.RequestStream.WriteAsync(new ProduceRequest { Open = new ProduceOpen { Topic = "t" } });
        return call;
    }

    private static async Task<ProduceResponse> ProduceAsync(AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call, byte[] batches)
    {
        await call.RequestStream.WriteAsync(new ProduceRequest { Batches = ByteString.CopyFrom(batches) });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        return call.ResponseStream.Current;
    }

    private static async Task AssertEndsAsync(AsyncDuplexStreamingCall<ProduceRequest, ProduceResponse> call, ErrorCode code)
    {
        var error = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None).InTimeAsync());
        Assert.Equal(RpcErrors.NameOf(code), error.Trailers.GetValue(RpcErrors.CodeTrailer));
    }
}
