using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Segments;
using EdgeStream.Storage.Tests.Log;
using EdgeStream.Storage.Tools;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Tools;

public class PartitionCheckTests : LogTestBase
{
    [Fact]
    public async Task Sound_partition_has_no_problems_and_is_not_changed()
    {
        List<string> values = await MakeAsync();
        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        PartitionFindings findings = Check();
        Assert.Empty(findings.Problems);
        Assert.Equal((20, (long)values.Count, 0L, (long)values.Count), (findings.Batches, findings.Records, findings.First, findings.Next));
        Assert.Equal(SegmentsIn(LogDirectory).Length, findings.Segments);
        Assert.Equal(0, findings.WithoutIndex);
        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
    }

    [Fact]
    public async Task Running_log_has_no_problems()
    {
        PartitionLog log = Open();
        await FillAsync(log, 20);
        Assert.Empty(Check().Problems);
    }

    [Fact]
    public async Task Log_that_drops_and_recycles_its_segments_meanwhile_has_no_problems()
    {
        PartitionLog log = Open(settings: new LogSettings { RetentionBytes = 2400, Overflow = OverflowPolicy.DropOldest });
        using var enough = new CancellationTokenSource();
        Task filling = Task.Run(async () =>
        {
            for (int batch = 0; !enough.IsCancellationRequested; batch++)
                await FillAsync(log, 1, from: batch);
        });
        for (int checks = 0; checks < 5 || log.Offsets.Start == 0; checks++)
            Assert.Empty(Check().Problems);

        await enough.CancelAsync();
        await filling.InTimeAsync();
    }

    [Fact]
    public async Task Flipped_byte_is_named_with_file_position_and_offsets()
    {
        await MakeAsync();
        string path = SegmentsIn(LogDirectory)[1];
        SegmentPart damaged = Walk(path)[1];
        Flip(path, damaged.EndPosition - 1);
        PartitionProblem problem = Assert.Single(Check().Problems);
        Assert.Equal(
            new PartitionProblem(path, damaged.Position, damaged.First, damaged.Last, "the checksum of the batch is wrong"), problem);
    }

    [Theory]
    [InlineData(16)] // the magic
    [InlineData(8)] // the length
    [InlineData(3)] // the offset
    public async Task Broken_header_loses_its_own_batch_only(int at)
    {
        await MakeAsync();
        string path = SegmentsIn(LogDirectory)[1];
        SegmentPart damaged = Walk(path)[0];
        Flip(path, damaged.Position + at);
        PartitionFindings findings = Check();
        PartitionProblem problem = Assert.Single(findings.Problems);
        Assert.Equal((path, (long?)damaged.Position, (long?)damaged.First, (long?)damaged.Last), (problem.File, problem.Position, problem.First, problem.Last));
        Assert.Equal(19, findings.Batches);
    }

    [Fact]
    public async Task Damage_in_the_last_segment_below_what_was_durable_is_found()
    {
        await MakeAsync();
        string path = SegmentsIn(LogDirectory)[^1];
        SegmentPart last = Walk(path)[^1];
        Flip(path, last.EndPosition - 1);
        PartitionProblem problem = Assert.Single(Check().Problems);
        Assert.Equal(((long?)last.Position, (long?)last.First, (long?)last.Last), (problem.Position, problem.First, problem.Last));
    }

    [Fact]
    public async Task Missing_segment_is_a_hole_until_the_ledger_has_it()
    {
        await MakeAsync();
        string[] paths = SegmentsIn(LogDirectory);
        Assert.True(SegmentFileName.TryParseLog(Path.GetFileName(paths[2]), out long first));
        Assert.True(SegmentFileName.TryParseLog(Path.GetFileName(paths[3]), out long behind));
        File.Delete(paths[2]);
        PartitionProblem problem = Assert.Single(Check().Problems);
        Assert.Equal((paths[1], (long?)first, (long?)(behind - 1)), (problem.File, problem.First, problem.Last));

        GapLedger.Open(DiskFiles.Instance, LogDirectory).Add(new Gap(first, behind - 1, 0, -1, -1, GapReason.Damage, 0));
        PartitionFindings findings = Check();
        Assert.Empty(findings.Problems);
        Assert.Single(findings.Gaps);
    }

    [Fact]
    public async Task First_segment_that_is_missing_is_found_by_the_checkpoint()
    {
        await MakeAsync();
        File.Delete(SegmentsIn(LogDirectory)[0]);
        Assert.Equal((long?)0, Assert.Single(Check().Problems).First);
    }

    [Fact]
    public async Task Older_batches_and_zeros_behind_the_end_are_not_looked_at()
    {
        await MakeAsync();
        string[] paths = SegmentsIn(LogDirectory);

        // As in a file that was taken for a new segment: what it held before lies behind, with lower offsets, whole or in part.
        long end = Walk(paths[^1])[^1].EndPosition;
        byte[] old = File.ReadAllBytes(paths[0]);
        File.WriteAllBytes(paths[^1], [.. File.ReadAllBytes(paths[^1]).AsSpan(0, (int)end), .. old.AsSpan(30), .. new byte[500], .. old]);
        Assert.Empty(Check().Problems);
    }

    [Fact]
    public async Task Lost_index_is_no_problem_and_a_damaged_one_is()
    {
        await MakeAsync();
        string[] indexes = [.. Directory.GetFiles(LogDirectory, "*.index").Order(StringComparer.Ordinal)];
        File.Delete(indexes[0]);
        Assert.Equal((1, 0), (Check().WithoutIndex, Check().Problems.Count));

        Flip(indexes[1], 17);
        Assert.Equal(new PartitionProblem(indexes[1], null, null, null, "the checksum of the index is wrong"), Assert.Single(Check().Problems));
    }

    [Theory]
    [InlineData(PartitionManifest.FileName)]
    [InlineData(LogCheckpoint.FileName)]
    [InlineData(GapLedger.FileName)]
    public async Task Small_file_that_cannot_be_read_is_named(string name)
    {
        await MakeAsync();
        string path = Path.Combine(LogDirectory, name);
        File.WriteAllBytes(path, new byte[1024]);
        Assert.Contains(Check().Problems, problem => problem.File == path);
    }

    [Fact]
    public async Task Repair_makes_a_damaged_partition_sound_and_says_what_was_lost()
    {
        await MakeAsync();
        string[] paths = SegmentsIn(LogDirectory);
        SegmentPart inMiddle = Walk(paths[1])[1], atEnd = Walk(paths[^1])[^1];
        Flip(paths[1], inMiddle.EndPosition - 1);
        Flip(paths[^1], atEnd.EndPosition - 1);
        string index = Path.ChangeExtension(paths[0], ".index");
        Flip(index, 20);

        RepairOutcome outcome = await RepairAsync();
        Assert.Equal([(inMiddle.First, inMiddle.Last), (atEnd.First, atEnd.Last)], outcome.Lost.Select(gap => (gap.First, gap.Last)));
        Assert.Equal([index], outcome.DroppedIndexes);
        Assert.All(outcome.Kept, path => Assert.True(File.Exists(path)));
        Assert.NotEmpty(outcome.Kept);
        Assert.Empty(Check().Problems);
        Assert.True((await RepairAsync()).IsNothing);
    }

    private async Task<List<string>> MakeAsync()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 20);
        await log.DisposeAsync();
        return values;
    }

    private PartitionFindings Check() => PartitionCheck.Run(DiskFiles.Instance, LogDirectory);

    private Task<RepairOutcome> RepairAsync() =>
        PartitionRepair.RunAsync(DiskFiles.Instance, LogDirectory, LogSettings.Default, static () => 0, static _ => { });

    private static List<SegmentPart> Walk(string path)
    {
        Assert.True(SegmentFileName.TryParseLog(Path.GetFileName(path), out long baseOffset));
        using var walk = new SegmentWalk(DiskFiles.Instance.OpenForReading(path), baseOffset, long.MaxValue, 0);
        return [.. walk.Parts()];
    }

    private static void Flip(string path, long position)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[position] ^= 0x20;
        File.WriteAllBytes(path, bytes);
    }
}
