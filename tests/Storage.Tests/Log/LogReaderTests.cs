using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class LogReaderTests(ITestOutputHelper output) : LogTestBase
{
    [Theory]
    [InlineData(1)]
    [InlineData(150)]
    [InlineData(100_000)]
    public async Task Reading_can_begin_at_every_offset(int maxBytes)
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 30);
        for (int offset = 0; offset <= values.Count; offset++)
            Assert.Equal(values[offset..], Batches.ReadValues(log, offset, maxBytes));
    }

    [Fact]
    public async Task Slice_has_whole_batches_up_to_the_limit_and_at_least_one()
    {
        PartitionLog log = Open(new LogOptions());
        byte[] batch = Batches.Of("0123456789");
        for (int i = 0; i < 10; i++)
            await log.AppendAsync(batch, AckLevel.Durable);

        using LogReader reader = log.OpenReader(3);
        foreach ((int maxBytes, int batches) in (ValueTuple<int, int>[])[(0, 1), (batch.Length - 1, 1), (2 * batch.Length, 2), ((3 * batch.Length) - 1, 2)])
        {
            long from = reader.NextOffset;
            using LogSlice slice = reader.Read(maxBytes);
            Assert.Equal((from, from + batches, batches * batch.Length), (slice.BaseOffset, slice.NextOffset, slice.Batches.Length));
        }
    }

    [Fact]
    public async Task Reading_stops_at_the_end_that_was_asked_for()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 2);
        await FillAsync(log, 20, from: 2);
        using LogReader reader = log.OpenReader(0);
        using LogSlice slice = reader.Read(100_000, endOffset: 3);
        Assert.Equal(values, Batches.ValuesOf(slice, 0));
        Assert.True(reader.Read(100_000, endOffset: 3).IsEmpty);
    }

    [Fact]
    public async Task Readers_at_the_tail_see_every_record_once_while_segments_roll()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        PartitionLog log = Open();
        Task<List<string>>[] readers = [.. Enumerable.Range(0, 4).Select(i => Task.Run(() => TailAsync(log, 600, new Random(seed + i))))];
        var random = new Random(seed);
        var appends = new List<Task>();
        for (int i = 0; i < 300; i++)
        {
            string[] pair = [$"{2 * i}", $"{(2 * i) + 1}" + new string(' ', random.Next(100))];
            appends.Add(await log.EnqueueAsync(Batches.Of(pair), random.Next(2) == 0 ? AckLevel.Durable : AckLevel.Written));
            if (random.Next(3) == 0)
                await Task.WhenAll(appends).InTimeAsync();
        }

        foreach (List<string> seen in await Task.WhenAll(readers).InTimeAsync())
            Assert.Equal(Enumerable.Range(0, 600).Select(i => $"{i}"), seen.Select(value => value.TrimEnd()));
    }

    [Fact]
    public async Task Reader_that_stands_at_the_end_goes_on_in_the_next_segment()
    {
        PartitionLog log = Open();
        using LogReader reader = log.OpenReader(0);
        var seen = new List<string>();
        var values = new List<string>();
        for (int i = 0; i < 40; i++)
        {
            values.AddRange(await FillAsync(log, 1, from: i));
            while (reader.Read(100_000) is { IsEmpty: false } slice)
            {
                seen.AddRange(Batches.ValuesOf(slice, seen.Count));
                slice.Dispose();
            }

            Assert.Equal(values, seen);
        }
    }

    [Fact]
    public async Task Reader_of_a_closed_and_deleted_log_is_told_so()
    {
        PartitionLog log = Open();
        await FillAsync(log, 20);
        using LogReader reader = log.OpenReader(0);
        reader.Read(1).Dispose();
        await log.DisposeAsync();
        Directory.Delete(LogDirectory, recursive: true);
        Assert.Throws<LogClosedException>(() => ReadToEnd(reader));
    }

    private static void ReadToEnd(LogReader reader)
    {
        while (reader.Read(1) is { IsEmpty: false } slice)
            slice.Dispose();
    }

    private static async Task<List<string>> TailAsync(PartitionLog log, int count, Random random)
    {
        using LogReader reader = log.OpenReader(0);
        var seen = new List<string>();
        while (seen.Count < count)
        {
            await reader.WaitAsync(CancellationToken.None).InTimeAsync();
            using LogSlice slice = reader.Read(random.Next(2000));
            seen.AddRange(Batches.ValuesOf(slice, seen.Count));
        }

        return seen;
    }
}
