using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

/// <summary>Dies at the first, the second, the third ... call of a kind, and then the power goes too.</summary>
public sealed class CrashPointTests
{
    [Theory(Timeout = 300_000)]
    [InlineData("fdatasync", 20)]
    [InlineData("fsync", 8)]
    [InlineData("rename", 2)]
    public async Task Crash_at_each_call_and_a_power_cut_lose_nothing_that_was_durable(string call, int points)
    {
        Assert.SkipWhen(Strace.Obstacle is not null, Strace.Obstacle ?? "");
        bool root = LoopFileSystem.TryCreate(64, out LoopFileSystem? disk, out string reason);
        Assert.SkipUnless(root, reason);
        using (disk)
        {
            for (int point = 1; point <= points; point++)
            {
                try
                {
                    await CrashAsync(disk!, call, point);
                }
                catch (Exception error)
                {
                    throw new InvalidOperationException($"crash at {call} number {point}: {error.Message}", error);
                }
            }
        }
    }

    private static async Task CrashAsync(LoopFileSystem disk, string call, int point)
    {
        using var temp = new TempDirectory();

        // A new log each time: its creation, too, is made of such calls.
        string directory = Path.Combine(disk.Path, $"{call}-{point}");
        var options = new WriterOptions(directory, Run: 0, Producers: 3, Window: 2, SegmentBytes: 4096, Mixed: true, Appends: 300);
        using WriterProcess writer = WriterProcess.Start(options, Strace.Kill(call, point, temp.Sub("strace")).Command);
        writer.Begin();
        await writer.EndAsync();
        Assert.DoesNotContain(Report.Done, writer.Lines);
        disk.CutPower(point % 2 == 0 ? CutKind.JournalLost : CutKind.JournalFlushed);
        await disk.RestorePowerAsync();

        var ledger = new Ledger(directory);
        ledger.Add(writer, AckLevel.Durable);
        await ledger.CheckAsync(options.ToLogOptions());
    }
}
