using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Tests.Log.Crashes;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>A crash at every operation that the log asks of its disk, and again during the recovery from it.</summary>
public class CrashTests(ITestOutputHelper output)
{
    private const int Images = 10_000;

    [Fact]
    public Task Nothing_acknowledged_or_seen_is_lost_wherever_the_log_is_cut() => CutEverywhereAsync(_ => new LogUnderTest());

    [Fact]
    public Task What_retention_drops_is_a_gap_wherever_the_log_is_cut() => CutEverywhereAsync(sizes => new LogUnderTest
    {
        Settings = new LogSettings { RetentionBytes = sizes.Next(8_000, 16_000), IsMirrored = true },
        TellsMirrored = false,
    });

    [Fact]
    public Task A_gap_that_a_mirror_takes_over_costs_no_record_before_it() => CutEverywhereAsync(_ => new LogUnderTest
    {
        Maintain = async (log, random) =>
        {
            long end = log.Offsets.End;
            var gap = new Gap(end, end + random.Next(5), 100, 0, 0, GapReason.Overflow, 0);
            try
            {
                await await log.EnqueueGapAsync(gap);
            }
            catch (OffsetConflictException)
            {
                // Appends were on their way, and are in its place.
            }
        },
    });

    private async Task CutEverywhereAsync(Func<Random, LogUnderTest> make)
    {
        int first = TestSeed.Choose(output), images = 0, runs = 0;
        for (int seed = first; images < Images; seed++, runs++)
        {
            // The sizes come from the seed too, so that one number repeats all of it.
            var sizes = new Random(seed);
            LogUnderTest test = make(sizes) with
            {
                Options = new LogOptions { SegmentBytes = sizes.Next(500, 4096), IndexIntervalBytes = sizes.Next(1, 600) },
            };
            var disk = new SimulatedDisk();
            var workload = new AppendWorkload(disk, test, seed);
            await workload.RunAsync(steps: 30);
            var campaign = new CrashCampaign(test, seed);
            await campaign.RunAsync(disk, workload.Evidence);
            images += campaign.Images;
        }

        output.WriteLine($"{images} images of {runs} runs");
    }
}
