using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class FindOffsetByTimeTests(ITestOutputHelper output) : LogTestBase
{
    [Fact]
    public void Empty_log_has_no_record_at_any_time()
    {
        PartitionLog log = Open();
        Assert.All((long[])[long.MinValue, 0, long.MaxValue], time => Assert.Equal(0, log.FindOffsetByTime(time)));
    }

    [Fact]
    public async Task First_record_at_or_after_the_time_is_found_inside_a_batch()
    {
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Stamped(100, 200, 300), AckLevel.Durable);
        Assert.Equal([0, 0, 1, 1, 2, 3], ((long[])[0, 100, 101, 200, 300, 301]).Select(log.FindOffsetByTime));
    }

    [Fact]
    public async Task Records_out_of_order_in_time_are_found_before_and_after_reopening()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        PartitionLog log = Open();
        var times = new List<long>();
        for (int i = 0; i < 100; i++)
        {
            long[] batch = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => (10L * i) + random.Next(-300, 300))];
            await log.AppendAsync(Batches.Stamped(batch), AckLevel.Durable);
            times.AddRange(batch);
        }

        AssertFinds(log, times);
        await log.DisposeAsync();
        AssertFinds(Open(), times);
    }

    [Fact]
    public async Task What_is_not_durable_is_not_found()
    {
        using var syncMayRun = new ManualResetEventSlim(true);
        Files.BeforeSync = _ => Assert.True(syncMayRun.Wait(Eventually.Deadline));
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Stamped(100), AckLevel.Durable);
        syncMayRun.Reset();
        for (int i = 0; i < 5; i++)
            await log.AppendAsync(Batches.Stamped(200), AckLevel.Written).InTimeAsync();

        Assert.Equal(1, log.FindOffsetByTime(150));
        syncMayRun.Set();
    }

    private static void AssertFinds(PartitionLog log, List<long> times)
    {
        for (long time = -310; time < 1310; time += 7)
        {
            int first = times.FindIndex(stamp => stamp >= time);
            Assert.Equal(first < 0 ? times.Count : first, log.FindOffsetByTime(time));
        }
    }
}
