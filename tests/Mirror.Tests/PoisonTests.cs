using System.Buffers.Binary;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Mirror.Tests;

/// <summary>A batch whose checksum is right and whose records are none does not stop the mirror, and is not lost.</summary>
public sealed class PoisonTests : IAsyncLifetime
{
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Poison_goes_to_the_dead_letters_and_the_mirror_goes_on()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "readings");
        byte[] poison = Poison("never to be read", "twice");
        await edge.FillAsync("readings", 30);
        long first = edge.Log("readings").Offsets.End;
        await edge.Log("readings").AppendAsync(poison, AckLevel.Durable);
        await edge.FillAsync("readings", 30);
        edge.StartUplink();
        await edge.IsMirroredAsync(_hub, "readings");
        await edge.FillAsync("readings", 30);
        await edge.Log("readings").AppendAsync(poison, AckLevel.Durable);
        await edge.IsMirroredAsync(_hub, "readings");

        PartitionLog log = edge.Log("readings"), copy = _hub.LogOf("north", "readings")!;
        Assert.Equal(2, log.Gaps.Count);
        Assert.Equal((first, first + 1, GapReason.Refused), (log.Gaps[0].First, log.Gaps[0].Last, log.Gaps[0].Reason));
        Assert.Equal(log.Gaps, copy.Gaps);
        Assert.False(log.DamageNoted);

        // At the hub as well, for whoever looks after the sites.
        await edge.IsMirroredAsync(_hub, DeadLetters.Topic);
        List<Record> letters = Read(_hub.LogOf("north", DeadLetters.Topic)!);
        Assert.Equal(2, letters.Count);
        RecordBatchHeader.SetBaseOffset(poison, first);
        Assert.Equal(poison, letters[0].Value!.Value.ToArray());
        Assert.Equal("readings", Text(letters[0], "topic"));
        Assert.Equal(first.ToString(System.Globalization.CultureInfo.InvariantCulture), Text(letters[0], "first-offset"));
        Assert.Contains("cannot be read", Text(letters[0], "reason"), StringComparison.Ordinal);
        Assert.Equal(0, edge.Uplink.State.Reconnects);

        await edge.RestartAsync();
        await edge.FillAsync("readings", 10);
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(2, edge.Log("readings").Gaps.Count);
    }

    private static byte[] Poison(params string[] values)
    {
        byte[] batch = Batches.Of(values);
        batch.AsSpan(RecordBatchHeader.Size).Fill(0xFF);
        BinaryPrimitives.WriteUInt32BigEndian(batch.AsSpan(17), Crc32C.Compute(batch.AsSpan(21)));
        return batch;
    }

    private static string Text(Record record, string header) =>
        System.Text.Encoding.UTF8.GetString(record.Headers.First(known => known.Key == header).Value!.Value.Span);

    private static List<Record> Read(PartitionLog log)
    {
        var records = new List<Record>();
        using LogReader reader = log.OpenReader(0);
        using LogSlice slice = reader.Read(1_000_000);
        foreach ((_, ReadOnlyMemory<byte> batch) in RecordBatches.Split(slice.Batches.ToArray()))
        {
            using RecordBatchReader batchReader = RecordBatchReader.Open(batch);
            while (batchReader.TryRead(out Record record))
                records.Add(record with { Value = record.Value!.Value.ToArray() });
        }

        return records;
    }
}
