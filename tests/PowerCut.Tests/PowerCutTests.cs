using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

public sealed class PowerCutTests
{
    private const int Cuts = 100;

    /// <summary>Many cuts hit the same log, which has recovered from those before; a new one now and then keeps it short.</summary>
    private const int CutsOfOneDisk = 20;

    [Theory(Timeout = 300_000)]
    [InlineData(CutKind.JournalLost)]
    [InlineData(CutKind.JournalFlushed)]
    public async Task Power_cut_at_any_moment_loses_nothing_that_was_durable(CutKind kind)
    {
        var seed = new Seed();
        int promises = 0;
        for (int cut = 0; cut < Cuts; cut += CutsOfOneDisk)
        {
            bool root = LoopFileSystem.TryCreate(64, out LoopFileSystem? disk, out string reason);
            Assert.SkipUnless(root, reason);
            using (disk)
            {
                try
                {
                    promises += await CutAgainAndAgainAsync(disk!, kind, seed.Random);
                }
                catch (Exception error)
                {
                    throw new InvalidOperationException($"{kind}, {seed}, cuts {cut} to {cut + CutsOfOneDisk}: {error.Message}", error);
                }
            }
        }

        Console.WriteLine($"{Cuts} power cuts ({kind}): {promises} acknowledgements kept");
    }

    /// <summary>The test's own test: a log whose syncs do nothing must not get through.</summary>
    [Fact(Timeout = 120_000)]
    public async Task Power_cut_shows_that_syncs_were_not_made()
    {
        Assert.SkipWhen(Strace.Obstacle is not null, Strace.Obstacle ?? "");
        bool root = LoopFileSystem.TryCreate(64, out LoopFileSystem? disk, out string reason);
        Assert.SkipUnless(root, reason);
        using (disk)
        {
            using var temp = new TempDirectory();
            string directory = Path.Combine(disk!.Path, "log");
            var options = new WriterOptions(directory, Run: 0, Producers: 4, Window: 3, SegmentBytes: 64 * 1024, Mixed: false);
            using WriterProcess writer = WriterProcess.Start(options, Strace.Skip("fdatasync,fsync", temp.Sub("strace")).Command);
            writer.Begin();
            await writer.WaitForAcknowledgementsAsync(50);
            long cutAt = disk.CutPower(CutKind.JournalLost);

            // By itself: its writes fail now, and strace would leave it alone if it was killed.
            await writer.EndAsync();
            await disk.RestorePowerAsync();
            var ledger = new Ledger(directory);
            ledger.Add(writer, AckLevel.Durable, until: cutAt);
            await Assert.ThrowsAnyAsync<Exception>(() => ledger.CheckAsync(options.ToLogOptions()));
        }
    }

    private static async Task<int> CutAgainAndAgainAsync(LoopFileSystem disk, CutKind kind, Random random)
    {
        string directory = Path.Combine(disk.Path, "log");
        var options = new WriterOptions(directory, Run: 0, Producers: 4, Window: 3, SegmentBytes: 64 * 1024, Mixed: true);
        var ledger = new Ledger(directory);
        bool recovering = false;
        WriterProcess next = WriterProcess.Start(options);
        try
        {
            for (int cut = 1; cut <= CutsOfOneDisk; cut++)
            {
                using WriterProcess writer = next;
                writer.Begin();
                next = WriterProcess.Start(options with { Run = cut });
                if (recovering)
                {
                    await writer.WaitForAsync(Report.Opening);
                    Moment.Pass(random, TimeSpan.FromMilliseconds(60));
                }
                else
                {
                    await writer.WaitForAcknowledgementsAsync((int)Math.Pow(1000, random.NextDouble()));
                    Moment.Pass(random, TimeSpan.FromMilliseconds(4));
                }

                long cutAt = disk.CutPower(kind);
                await writer.KillAsync();
                ledger.Add(writer, AckLevel.Durable, until: cutAt);
                await disk.RestorePowerAsync();

                // Now and then the next cut comes while the log recovers from this one.
                recovering = !recovering && random.Next(4) == 0;
                if (!recovering)
                    await ledger.CheckAsync(options.ToLogOptions());
            }

            return ledger.Checked;
        }
        finally
        {
            next.Dispose();
        }
    }
}
