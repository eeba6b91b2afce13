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
        PartitionLog log = Open(new LogOptions());
        List<string> values = await FillAsync(log, 3);
        string path = SegmentsIn(LogDirectory)[0];
        int whole = (int)new FileInfo(path).Length;
        byte[] last = Batches.Of("the batch", "that is torn");
        await log.AppendAsync(last, AckLevel.Written);
        byte[] bytes = await File.ReadAllBytesAsync(path);

        for (int cut = whole; cut < bytes.Length; cut++)
        {
            string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub($"cut-{cut}"));
            await File.WriteAllBytesAsync(Path.Combine(copy, Path.GetFileName(path)), bytes[..cut]);
            PartitionLog torn = Open(directory: copy);
            Assert.Equal(cut - whole, torn.Recovery.TornBytes);
            await torn.DisposeAsync();
            await AssertGoesOnAsync(copy, values);
        }
    }

    [Theory]
    [InlineData("zeros")]
    [InlineData("garbage")]
    [InlineData("the first batch again")]
    public async Task Garbage_behind_the_last_batch_is_cut(string what)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        PartitionLog log = Open(new LogOptions());
        List<string> values = await FillAsync(log, 5);
        byte[] garbage = new byte[700];
        if (what == "garbage")
            new Random(seed).NextBytes(garbage);
        else if (what == "the first batch again")
            garbage = Batches.Of("value 0.0");

        string copy = Files.CopyAfterCrash(LogDirectory, Temp.Sub("copy"));
        await File.AppendAllBytesAsync(SegmentsIn(copy)[0], garbage);
        PartitionLog recovered = Open(directory: copy);
        Assert.Equal(garbage.Length, recovered.Recovery.TornBytes);
        await recovered.DisposeAsync();
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

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(int.MaxValue)]
    public async Task Missing_segments_that_were_durable_are_reported_and_nothing_is_changed(int count)
    {
        PartitionLog log = Open();
        await FillAsync(log, 30);
        await log.DisposeAsync();
        foreach (string path in SegmentsIn(LogDirectory).Reverse().Take(count))
            File.Delete(path);

        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        Assert.Throws<PartitionDamagedException>(() => Open());
        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
    }

    [Fact]
    public async Task Damage_below_the_checkpoint_is_reported_and_nothing_is_changed()
    {
        PartitionLog log = Open(new LogOptions());
        await FillAsync(log, 30);
        await log.DisposeAsync();
        string path = SegmentsIn(LogDirectory)[0];
        byte[] bytes = await File.ReadAllBytesAsync(path);
        bytes[bytes.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);

        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(LogDirectory);
        Assert.Throws<PartitionDamagedException>(() => Open());
        Assert.Equal(before, TempDirectory.Snapshot(LogDirectory));
    }

    [Fact]
    public async Task Torn_segment_that_was_sealed_but_not_synced_takes_the_one_behind_it_along()
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
        using (FileStream file = File.OpenWrite(SegmentsIn(copy)[0]))
            file.SetLength(file.Length - 1);

        PartitionLog recovered = Open(directory: copy);
        Assert.Single(SegmentsIn(copy));
        Assert.Equal(durable, Batches.ReadValues(recovered).Take(durable.Count));
        List<string> left = Batches.ReadValues(recovered);
        await recovered.DisposeAsync();
        await AssertGoesOnAsync(copy, left);
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
        using var segment = new ActiveSegment(0, file, 4096);
        Assert.Throws<IOException>(() => SegmentScanner.Scan(segment));

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
