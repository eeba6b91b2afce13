using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Segments;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>
/// Whatever becomes of a partition's files: the log opens, serves what is left, has a gap for what is not, and gives no offset
/// twice.
/// </summary>
public class DamageTests(ITestOutputHelper output) : LogTestBase
{
    public enum When
    {
        Closed,
        Running,
        Killed,
    }

    public static TheoryData<string, When> Cases()
    {
        var cases = new TheoryData<string, When>();
        foreach (string damage in (string[])["flipped bit", "zeroed block", "missing", "truncated", "empty", "another segment's", "garbage", "longer"])
        {
            foreach (When when in Enum.GetValues<When>())
                cases.Add(damage, when);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Damaged_segment_becomes_a_gap(string damage, When when)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (int round = 0; round < 12; round++)
        {
            string directory = Temp.Sub($"log-{round}");
            PartitionLog log = Open(directory: directory);
            await FillAsync(log, 40);
            SortedDictionary<long, string> stored = Batches.ReadRecords(log);
            if (when == When.Closed)
                await log.DisposeAsync();
            else if (when == When.Killed)
                directory = Files.CopyAfterCrash(directory, Temp.Sub($"copy-{round}"));

            string[] segments = SegmentsIn(directory);
            string hit = segments[random.Next(segments.Length)], other = segments[random.Next(segments.Length)];
            Inflict(damage, hit, other, random);

            // Behind the last checkpoint, damage to the open segment cannot be told from what a power cut has torn there.
            if (when == When.Killed && hit == segments[^1] && LogCheckpoint.TryRead(DiskFiles.Instance, directory) is var checkpoint)
                stored = new(stored.Where(record => record.Key < (checkpoint?.Durable ?? 0)).ToDictionary());

            if (when != When.Running)
                log = Open(directory: directory);

            await AssertAccountedForAsync(log, stored, random);
        }
    }

    [Fact]
    public async Task Several_damaged_places_leave_what_is_between_them()
    {
        PartitionLog log = Open(new LogOptions { PreallocateBytes = 4096 });
        List<string> values = await FillAsync(log, 40);
        string path = SegmentsIn(LogDirectory)[0];
        byte[] bytes = await File.ReadAllBytesAsync(path);
        int[] hits = [.. new[] { "value 3.1", "value 20.0", "value 30.2" }.Select(value => bytes.AsSpan().IndexOf(System.Text.Encoding.UTF8.GetBytes(value)))];
        foreach (int hit in hits)
            bytes[hit] ^= 0x40;

        await File.WriteAllBytesAsync(path, bytes);
        Assert.Equal(values.Count - (4 + 1 + 3), Batches.ReadRecords(log).Count);
        Assert.Equal([4, 1, 3], log.Gaps.Select(gap => gap.Records));
        Assert.All(log.Gaps, gap => Assert.True(gap is { Reason: GapReason.Damage, Bytes: > 0 }));
        Assert.Equal(3, Directory.GetFiles(Path.Combine(LogDirectory, "quarantine")).Length);
        Assert.True(log.DamageNoted);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(int.MaxValue)]
    public async Task Missing_segments_at_the_end_are_a_gap_and_their_offsets_are_not_given_again(int count)
    {
        PartitionLog log = Open();
        await FillAsync(log, 30);
        long end = log.Offsets.End;
        await log.DisposeAsync();
        foreach (string path in SegmentsIn(LogDirectory).Reverse().Take(count))
            File.Delete(path);

        log = Open();
        Assert.Equal(end, log.Offsets.End);
        Gap gap = Assert.Single(log.Gaps);
        Assert.Equal((end - 1, GapReason.Damage), (gap.Last, gap.Reason));
        Assert.Equal(log.Recovery.LostRecords, gap.Records);
        AppendedRange range = await log.AppendAsync(Batches.Of("on"), AckLevel.Durable);
        Assert.Equal(end, range.BaseOffset);
    }

    [Fact]
    public async Task Missing_segments_at_the_front_are_a_gap()
    {
        PartitionLog log = Open();
        await FillAsync(log, 30);
        await log.DisposeAsync();
        File.Delete(SegmentsIn(LogDirectory)[0]);
        log = Open();
        Assert.Equal((0, log.Offsets.Start - 1), (Assert.Single(log.Gaps).First, log.Gaps[0].Last));
    }

    [Fact]
    public async Task Repair_that_is_cut_short_anywhere_is_done_again()
    {
        PartitionLog log = Open();
        await FillAsync(log, 20);
        SortedDictionary<long, string> stored = Batches.ReadRecords(log);
        await log.DisposeAsync();
        string damaged = SegmentsIn(LogDirectory)[1];
        byte[] bytes = await File.ReadAllBytesAsync(damaged);
        bytes[bytes.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(damaged, bytes);
        bool finished = false;
        for (int steps = 1; !finished; steps++)
        {
            string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub($"copy-{steps}"));
            int left = steps;
            var files = new FaultyFiles();
            Action<string> stop = _ =>
            {
                if (left-- == 0)
                    throw FaultyFiles.DiskBroken();
            };
            (files.BeforeCreate, files.BeforeWrite, files.BeforeSync, files.BeforeSyncDirectory) = (stop, stop, stop, stop);
            try
            {
                log = Open(directory: copy, files: files);
                Batches.ReadRecords(log);
                finished = left >= 0;
            }
            catch (Exception interrupted) when (interrupted is PartitionDamagedException or IOException)
            {
            }

            await AssertAccountedForAsync(Open(directory: copy, files: new FaultyFiles()), stored, new Random(1));
        }
    }

    private static void Inflict(string damage, string path, string other, Random random)
    {
        byte[] bytes = File.ReadAllBytes(path);
        switch (damage)
        {
            case "flipped bit":
                bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
                break;
            case "zeroed block":
                int start = random.Next(bytes.Length);
                bytes.AsSpan(start, random.Next(bytes.Length - start)).Clear();
                break;
            case "missing":
                File.Delete(path);
                return;
            case "truncated":
                bytes = bytes[..random.Next(bytes.Length)];
                break;
            case "empty":
                bytes = [];
                break;
            case "another segment's":
                bytes = File.ReadAllBytes(other);
                break;
            case "garbage":
                random.NextBytes(bytes);
                break;
            default:
                bytes = [.. bytes, .. new byte[random.Next(1000)]];
                break;
        }

        // In place, as a disk does it: readers have the file open.
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.SetLength(bytes.Length);
        file.Write(bytes);
    }

    private async Task AssertAccountedForAsync(PartitionLog log, SortedDictionary<long, string> stored, Random random)
    {
        string directory = log.Directory;
        for (int round = 0; round < 2; round++)
        {
            SortedDictionary<long, string> left = Batches.ReadRecords(log);
            Assert.All(stored, record => Assert.True(
                left.TryGetValue(record.Key, out string? value) ? value == record.Value : log.Gaps.Any(gap => gap.First <= record.Key && record.Key <= gap.Last),
                $"the record at {record.Key} is neither there nor in a gap"));
            Assert.All(left.Keys.Where(offset => log.Gaps.Any(gap => gap.First <= offset && offset <= gap.Last)), offset => Assert.Fail($"{offset} is there and in a gap"));
            Assert.InRange(log.Offsets.End, stored.Keys.LastOrDefault(-1) + 1, long.MaxValue);
            AppendedRange range = await log.AppendAsync(Batches.Of($"more {random.Next()}"), AckLevel.Durable).InTimeAsync();
            Assert.DoesNotContain(range.BaseOffset, left.Keys);
            stored = Batches.ReadRecords(log);
            await log.DisposeAsync();
            log = Open(directory: directory, files: new FaultyFiles());
        }
    }
}
