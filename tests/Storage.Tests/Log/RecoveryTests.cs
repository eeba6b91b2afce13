using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Segments;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class RecoveryTests(ITestOutputHelper output) : LogTestBase
{
    [Fact]
    public async Task Reopened_log_goes_on_where_it_ended()
    {
        List<string> values = [];
        for (int i = 0; i < 5; i++)
        {
            PartitionLog log = Open();
            values.AddRange(await FillAsync(log, 7, from: 7 * i));
            log.SetMirrored(values.Count - 1);
            await log.DisposeAsync();
        }

        PartitionLog last = Open();
        Assert.Equal(values, Batches.ReadValues(last));
        Assert.Equal(new LogOffsets(0, values.Count - 1, values.Count, values.Count), last.Offsets);
        Assert.Equal((false, 0L), (last.Recovery.Created, last.Recovery.TornBytes));
        Assert.InRange(last.Recovery.SegmentsScanned, 1, 2);
    }

    [Fact]
    public async Task What_a_killed_process_had_written_is_still_there()
    {
        List<string> values = await FillAsync(Open(), 25);
        string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub("copy"));
        await AssertGoesOnAsync(copy, values);
    }

    [Fact]
    public async Task Batch_torn_at_any_byte_is_cut_and_the_log_goes_on()
    {
        PartitionLog log = Open(new LogOptions { PreallocateBytes = 4096 });
        List<string> values = await FillAsync(log, 3);
        string path = SegmentsIn(LogDirectory)[0];
        byte[] before = await File.ReadAllBytesAsync(path);
        byte[] last = Batches.Of("the batch", "that is torn");
        await log.AppendAsync(last, AckLevel.Written);
        byte[] bytes = await File.ReadAllBytesAsync(path);
        int end = bytes.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        for (int cut = end - last.Length; cut < end; cut++)
        {
            string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub($"cut-{cut}"));
            await File.WriteAllBytesAsync(Path.Combine(copy, Path.GetFileName(path)), [.. bytes[..cut], .. before[cut..]]);
            PartitionLog torn = Open(directory: copy);
            Assert.Empty(torn.Gaps);
            await torn.DisposeAsync();
            await AssertGoesOnAsync(copy, values);
        }
    }

    [Theory]
    [InlineData("zeros")]
    [InlineData("garbage")]
    [InlineData("the first batch again")]
    public async Task Garbage_behind_the_last_batch_is_no_record(string what)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        PartitionLog log = Open(new LogOptions { PreallocateBytes = 4096 });
        List<string> values = await FillAsync(log, 5);
        int end = Enumerable.Range(0, 5).Sum(i => Batches.Of([.. Enumerable.Range(0, 1 + (i % 4)).Select(n => $"value {i}.{n}")]).Length);
        byte[] garbage = new byte[700];
        if (what == "garbage")
            new Random(seed).NextBytes(garbage);
        else if (what == "the first batch again")
            garbage = Batches.Of("value 0.0");

        string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub("copy"));
        byte[] bytes = await File.ReadAllBytesAsync(SegmentsIn(copy)[0]);
        garbage.CopyTo(bytes, end);
        await File.WriteAllBytesAsync(SegmentsIn(copy)[0], bytes);
        await AssertGoesOnAsync(copy, values);
    }

    [Theory]
    [InlineData("missing")]
    [InlineData("empty")]
    [InlineData("old")]
    [InlineData("flipped bit")]
    [InlineData("garbage")]
    public async Task Checkpoint_is_only_a_hint(string damage)
    {
        PartitionLog log = Open();
        await FillAsync(log, 5);
        string old = Path.Combine(Files.CopyAfterCrash(LogDirectory, Temp.Sub("old")), LogCheckpoint.FileName);
        await log.DisposeAsync();
        log = Open();
        await FillAsync(log, 20, from: 5);
        List<string> values = Batches.ReadValues(log);
        await log.DisposeAsync();

        string path = Path.Combine(LogDirectory, LogCheckpoint.FileName);
        byte[] bytes = await File.ReadAllBytesAsync(path);
        switch (damage)
        {
            case "missing":
                File.Delete(path);
                break;
            case "old":
                File.Copy(old, path, overwrite: true);
                break;
            case "flipped bit":
                bytes[10] ^= 1;
                await File.WriteAllBytesAsync(path, bytes);
                break;
            default:
                await File.WriteAllBytesAsync(path, damage == "empty" ? [] : [1, 2, 3]);
                break;
        }

        await AssertGoesOnAsync(LogDirectory, values);
    }

    [Fact]
    public async Task Torn_segment_that_was_sealed_but_not_synced_leaves_a_gap()
    {
        using var syncMayRun = new ManualResetEventSlim(true);
        Files.BeforeSync = name => Assert.True(!name.EndsWith(".log", StringComparison.Ordinal) || syncMayRun.Wait(Eventually.Deadline));
        PartitionLog log = Open();
        List<string> durable = await FillAsync(log, 2);
        syncMayRun.Reset();
        while (SegmentsIn(LogDirectory).Length < 2)
            await log.AppendAsync(Batches.Of(new string('x', 100)), AckLevel.Written).InTimeAsync();

        string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub("copy"));
        syncMayRun.Set();
        Assert.False(File.Exists(Path.Combine(copy, SegmentFileName.OffsetIndex(0))));
        string first = SegmentsIn(copy)[0];
        byte[] bytes = await File.ReadAllBytesAsync(first);
        bytes[bytes.AsSpan().LastIndexOfAnyExcept((byte)0)] ^= 1;
        await File.WriteAllBytesAsync(first, bytes);

        PartitionLog recovered = Open(directory: copy);
        SortedDictionary<long, string> left = Batches.ReadRecords(recovered);
        Gap gap = Assert.Single(recovered.Gaps);
        Assert.Equal(GapReason.Torn, gap.Reason);
        Assert.Equal(durable, left.Values.Take(durable.Count));
        Assert.Equal(recovered.Offsets.End, left.Count + gap.Records);
        await recovered.DisposeAsync();
        Assert.Equal(left, Batches.ReadRecords(Open(directory: copy)));
    }

    [Fact]
    public async Task Empty_segment_of_a_roll_that_was_cut_short_takes_the_next_records()
    {
        PartitionLog log = Open(new LogOptions());
        List<string> values = await FillAsync(log, 4);
        string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub("copy"));
        await File.WriteAllBytesAsync(Path.Combine(copy, SegmentFileName.Log(values.Count)), []);
        await AssertGoesOnAsync(copy, values);
    }

    [Fact]
    public async Task Temporary_files_left_over_do_no_harm()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 10);
        await log.DisposeAsync();
        foreach (string name in (string[])["checkpoint.tmp", "partition.json.tmp", "notes.txt", "000.log", "0000000000000000000x.log"])
            await File.WriteAllTextAsync(Path.Combine(LogDirectory, name), "left over");

        await AssertGoesOnAsync(LogDirectory, values);
    }

    [Fact]
    public async Task Broken_manifest_is_set_aside_and_the_records_stay()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 10);
        Guid incarnation = log.Manifest.Incarnation;
        await log.DisposeAsync();
        string path = Path.Combine(LogDirectory, PartitionManifest.FileName);
        await File.WriteAllTextAsync(path, "{ \"formatVersion\": 1, \"topic\": ");

        await AssertGoesOnAsync(LogDirectory, values);
        Assert.NotEqual(incarnation, PartitionManifest.TryRead(Files, LogDirectory)!.Incarnation);
        Assert.True(File.Exists(path + ".broken"));
    }

    [Fact]
    public async Task Directory_of_a_newer_version_is_left_alone()
    {
        await Open().DisposeAsync();
        string path = Path.Combine(LogDirectory, PartitionManifest.FileName);
        string manifest = await File.ReadAllTextAsync(path);
        await File.WriteAllTextAsync(path, manifest.Replace("\"formatVersion\": 1", "\"formatVersion\": 2", StringComparison.Ordinal));
        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        Assert.Throws<EdgeStreamException>(() => Open());
        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
    }

    [Fact]
    public void Failed_read_of_a_large_batch_gives_its_buffer_back_once()
    {
        var file = new BrokenFile(Batches.Of(new string('x', 1_000_000)));
        Assert.Throws<IOException>(() => SegmentScanner.Scan(file, 0, 0));

        // A buffer that was given back twice would now be rented out twice.
        byte[][] rented = [.. Enumerable.Range(0, 8).Select(_ => System.Buffers.ArrayPool<byte>.Shared.Rent(256 * 1024))];
        Assert.Equal(rented.Length, rented.Distinct(ReferenceEqualityComparer.Instance).Count());
    }

    /// <summary>Opens the log, compares its records, appends some, and does the same once more.</summary>
    private async Task AssertGoesOnAsync(string directory, List<string> values)
    {
        PartitionLog log = Open(directory: directory);
        Assert.Equal(values, Batches.ReadValues(log));
        Assert.Equal(values.Count, log.Offsets.End);
        List<string> more = await FillAsync(log, 12, from: 1000);
        await log.DisposeAsync();
        log = Open(directory: directory);
        Assert.Equal([.. values, .. more], Batches.ReadValues(log));
        await log.DisposeAsync();
    }

    /// <summary>Gives the first 64 KiB of a file, then EIO.</summary>
    private sealed class BrokenFile(byte[] contents) : Storage.Files.ILogFile
    {
        public long Length => contents.Length;

        public int Read(Span<byte> buffer, long position)
        {
            if (position >= 64 * 1024)
                throw FaultyFiles.DiskBroken();

            int count = Math.Min(buffer.Length, (64 * 1024) - (int)position);
            contents.AsSpan((int)position, count).CopyTo(buffer);
            return count;
        }

        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => throw new NotSupportedException();

        public void SyncData()
        {
        }

        public void Truncate(long length) => throw new NotSupportedException();

        public void Allocate(long length) => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
