using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

/// <summary>
/// Damaged batches of every codec. Each case has its own seed, which is printed when it fails; set EDGESTREAM_FUZZ_SEED to
/// repeat a run, EDGESTREAM_FUZZ_CASES for a longer one.
/// </summary>
public class RecordBatchFuzzTests(ITestOutputHelper output)
{
    // Inputs have some kilobytes. A damaged length can still be true to its codec: an lz4 or zstd block that really
    // repeats one byte. The limit leaves room for these and is far below what a batch may claim.
    private const long MaxAllocated = 1024 * 1024;

    private static readonly int Cases = int.Parse(Environment.GetEnvironmentVariable("EDGESTREAM_FUZZ_CASES") ?? "120000");

    [Fact]
    public void Damaged_batches_give_records_or_corruption_and_nothing_else()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_FUZZ_SEED"), out int given) ? given : Random.Shared.Next();
        output.WriteLine($"seed {seed}");

        int corrupt = 0;
        long mostAllocated = 0;
        for (int i = 0; i < Cases; i++)
        {
            int caseSeed = unchecked(seed + i);
            byte[] batch = BatchMutator.Mutate(new Random(caseSeed));
            try
            {
                long allocated = Read(batch, out bool isCorrupt);
                corrupt += isCorrupt ? 1 : 0;
                mostAllocated = Math.Max(mostAllocated, allocated);
                Assert.InRange(allocated, 0, MaxAllocated);
            }
            catch (Exception e)
            {
                Assert.Fail($"EDGESTREAM_FUZZ_SEED={caseSeed} EDGESTREAM_FUZZ_CASES=1: {Convert.ToHexString(batch)}\n{e}");
            }
        }

        output.WriteLine($"{Cases} cases, {corrupt} corrupt, at most {mostAllocated} bytes allocated by one");
        // Both outcomes are common, or the mutations miss their aim.
        Assert.InRange(corrupt, Cases / 2, Cases * 99 / 100);
    }

    private static long Read(byte[] batch, out bool isCorrupt)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        isCorrupt = false;
        try
        {
            foreach ((RecordBatchHeader _, ReadOnlyMemory<byte> whole) in RecordBatches.Split(batch))
                ReadRecords(whole);
            ReadRecords(batch);
        }
        catch (CorruptBatchException)
        {
            isCorrupt = true;
        }

        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static void ReadRecords(ReadOnlyMemory<byte> batch)
    {
        using var reader = RecordBatchReader.Open(batch);
        int count = 0;
        while (reader.TryRead(out Record record))
        {
            // Touch what the record points at: memory outside the batch would fault here.
            Crc32C.Compute(record.Key.GetValueOrDefault().Span);
            Crc32C.Compute(record.Value.GetValueOrDefault().Span);
            Assert.Equal(reader.Header.BaseOffset + count++, record.Offset);
        }

        Assert.Equal(reader.Header.RecordCount, count);
    }
}
