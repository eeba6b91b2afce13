using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AllocationCollection
{
    public const string Name = "allocations";
}

/// <summary>What a batch costs in garbage does not depend on how many records it has.</summary>
[Collection(AllocationCollection.Name)]
public sealed class AllocationTests : LogTestBase
{
    private const int Few = 100;
    private const int Many = 10_000;

    // What may differ between two runs that are alike: a list that grows, a queue's next block.
    private const long Tolerance = 2048;

    private static readonly byte[] Value = new byte[100];

    [Fact]
    public void Writing_a_batch_allocates_nothing()
    {
        using RecordBatchWriter writer = Filled(Many);
        long bytes = Allocated.Least(() =>
        {
            writer.Reset();
            Fill(writer, Many);
            writer.Build();
        });
        Assert.Equal(0, bytes);
    }

    [Fact]
    public void Reading_a_batch_allocates_nothing_per_record()
    {
        using RecordBatchWriter few = Filled(Few), many = Filled(Many);
        ReadOnlyMemory<byte> small = few.Build(), large = many.Build();
        Assert.Equal(Allocated.Least(() => ReadRecords(small)), Allocated.Least(() => ReadRecords(large)));
    }

    [Theory]
    [InlineData(AckLevel.Written)]
    [InlineData(AckLevel.Durable)]
    public void Appending_a_batch_allocates_nothing_per_record(AckLevel ack)
    {
        PartitionLog log = Open(LogOptions.Default, files: DiskFiles.Instance);
        using RecordBatchWriter few = Filled(Few), many = Filled(Many);
        ReadOnlyMemory<byte> small = few.Build(), large = many.Build();
        long forFew = Allocated.LeastOfAll(() => Append(log, small, ack));
        long forMany = Allocated.LeastOfAll(() => Append(log, large, ack));
        Assert.InRange(forMany, 0, forFew + Tolerance);
    }

    [Fact]
    public void Reading_the_log_allocates_nothing_per_record()
    {
        PartitionLog log = Open(LogOptions.Default, files: DiskFiles.Instance);
        using RecordBatchWriter few = Filled(Few), many = Filled(Many);
        for (int i = 0; i < Allocated.Rounds; i++)
            Append(log, few.Build(), AckLevel.Durable);

        long startOfMany = log.Offsets.End;
        for (int i = 0; i < Allocated.Rounds; i++)
            Append(log, many.Build(), AckLevel.Durable);

        int maxBytes = many.EstimatedSize;
        long forFew = BytesPerRead(log, 0, few.EstimatedSize), forMany = BytesPerRead(log, startOfMany, maxBytes);
        Assert.InRange(forMany, 0, forFew + Tolerance);
    }

    private static void Append(PartitionLog log, ReadOnlyMemory<byte> batch, AckLevel ack) =>
        log.AppendAsync(batch, ack).AsTask().InTimeAsync().GetAwaiter().GetResult();

    private static long BytesPerRead(PartitionLog log, long offset, int maxBytes)
    {
        using LogReader reader = log.OpenReader(offset);
        return Allocated.Least(() =>
        {
            using LogSlice slice = reader.Read(maxBytes);
            Assert.False(slice.IsEmpty);
        });
    }

    private static void ReadRecords(ReadOnlyMemory<byte> batch)
    {
        using RecordBatchReader reader = RecordBatchReader.Open(batch);
        while (reader.TryRead(out _))
        {
        }
    }

    private static RecordBatchWriter Filled(int records)
    {
        var writer = new RecordBatchWriter();
        Fill(writer, records);
        return writer;
    }

    private static void Fill(RecordBatchWriter writer, int records)
    {
        for (int i = 0; i < records; i++)
            writer.Append(new Record(i, null, Value));
    }
}
