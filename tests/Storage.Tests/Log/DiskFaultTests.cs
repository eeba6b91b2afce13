using EdgeStream.Storage.Log;
using EdgeStream.Storage.Segments;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class DiskFaultTests : LogTestBase
{
    [Fact]
    public async Task Failed_sync_stops_the_log_for_good()
    {
        PartitionLog log = Open();
        List<string> durable = await FillAsync(log, 10);
        Files.BeforeSync = _ => throw FaultyFiles.DiskBroken();
        Task<AppendedRange> lost = await log.EnqueueAsync(Batches.Of("lost"), AckLevel.Durable);
        await Assert.ThrowsAsync<LogFailedException>(() => lost.InTimeAsync());

        // A second sync would report success although the kernel has dropped the pages.
        Files.BeforeSync = null;
        Assert.IsType<LogFailedException>(log.Failure);
        foreach (AckLevel ack in Enum.GetValues<AckLevel>())
            await Assert.ThrowsAsync<LogFailedException>(() => log.AppendAsync(Batches.Of("later"), ack).InTimeAsync());

        await Assert.ThrowsAsync<LogFailedException>(() => log.WaitForDurableAsync(1000, CancellationToken.None).InTimeAsync());
        Assert.Equal(durable, Batches.ReadValues(log));
        Assert.Equal(durable.Count, log.Offsets.Durable);
        await log.DisposeAsync().InTimeAsync();
    }

    [Fact]
    public async Task Failed_sync_ends_a_writer_that_waits_to_roll()
    {
        using var syncMayFail = new ManualResetEventSlim(false);
        PartitionLog log = Open();
        Files.BeforeSync = name =>
        {
            if (!name.EndsWith(".log", StringComparison.Ordinal))
                return;

            Assert.True(syncMayFail.Wait(Eventually.Deadline));
            throw FaultyFiles.DiskBroken();
        };
        var appends = new List<Task<AppendedRange>>();
        for (int i = 0; i < 30; i++)
            appends.Add(await log.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Durable));

        await Eventually.HoldsAsync(() => SegmentsIn(LogDirectory).Length == 2, "one segment is sealed");
        syncMayFail.Set();
        await Task.WhenAll(appends).ContinueWith(_ => { }, TaskScheduler.Default).InTimeAsync();
        Assert.All(appends, append => Assert.IsType<LogFailedException>(Failure(append)));
        await log.DisposeAsync().InTimeAsync();
    }

    [Fact]
    public async Task Failed_write_stops_the_log_and_nothing_is_written_afterwards()
    {
        PartitionLog log = Open(new LogOptions());
        List<string> durable = await FillAsync(log, 3);
        using var writing = new ManualResetEventSlim(false);
        using var writeMayFail = new ManualResetEventSlim(false);
        int writes = 0;
        Files.BeforeWrite = name =>
        {
            if (!name.EndsWith(".log", StringComparison.Ordinal))
                return;

            writes++;
            writing.Set();
            Assert.True(writeMayFail.Wait(Eventually.Deadline));
            if (writes == 1)
                throw FaultyFiles.DiskBroken();
        };
        Task<AppendedRange> first = await log.EnqueueAsync(Batches.Of("a"), AckLevel.Written);
        Assert.True(writing.Wait(Eventually.Deadline));
        Task<AppendedRange> second = await log.EnqueueAsync(Batches.Of("b"), AckLevel.Written);
        writeMayFail.Set();
        await Assert.ThrowsAsync<LogFailedException>(() => first.InTimeAsync());
        await Assert.ThrowsAsync<LogFailedException>(() => second.InTimeAsync());
        await log.DisposeAsync().InTimeAsync();
        Assert.Equal(1, writes);
        Assert.Equal(durable, Batches.ReadValues(Open(files: new FaultyFiles())));
    }

    [Theory]
    [InlineData("write")]
    [InlineData("new segment")]
    [InlineData("name of a new segment")]
    public async Task Full_disk_heals_and_the_offsets_stay_dense(string step)
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 10);
        bool full = true;
        Action<string> whileFull = name =>
        {
            if (full)
                throw FaultyFiles.DiskFull();
        };
        switch (step)
        {
            case "write":
                Files.BeforeWrite = whileFull;
                break;
            case "new segment":
                Files.BeforeCreate = whileFull;
                break;
            default:
                Files.BeforeSyncDirectory = whileFull;
                break;
        }

        int refused = 0;
        for (int i = 0; i < 10; i++)
        {
            try
            {
                values.AddRange(await FillAsync(log, 1, from: 100 + i));
            }
            catch (StorageFullException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, 1, 10);
        Assert.Null(log.Failure);
        Assert.Equal(values, Batches.ReadValues(log));

        // Small enough for the segment that could not be left: it goes on there.
        full = step != "write";
        try
        {
            await log.AppendAsync(Batches.Of("s"), AckLevel.Durable);
            values.Add("s");
        }
        catch (StorageFullException)
        {
        }

        full = false;
        values.AddRange(await FillAsync(log, 10, from: 200));
        Assert.Equal(values, Batches.ReadValues(log));
        await log.DisposeAsync();
        File.Delete(Path.Combine(LogDirectory, LogCheckpoint.FileName));
        log = Open();
        Assert.Equal(values, Batches.ReadValues(log));
    }

    [Fact]
    public async Task Segment_that_could_not_be_started_leaves_nothing_behind()
    {
        PartitionLog log = Open();
        await log.AppendAsync(Batches.Of(new string('x', 300)), AckLevel.Durable);
        Files.BeforeSyncDirectory = _ => throw FaultyFiles.DiskFull();
        await Assert.ThrowsAsync<StorageFullException>(() => log.AppendAsync(Batches.Of(new string('y', 300)), AckLevel.Durable).InTimeAsync());
        Assert.Equal([SegmentFileName.Log(0)], SegmentsIn(LogDirectory).Select(path => Path.GetFileName(path)));
    }

    [Fact]
    public async Task Full_disk_in_the_midst_of_a_commit_fails_its_appends_and_no_other()
    {
        PartitionLog log = Open(new LogOptions());
        using var allAreQueued = new ManualResetEventSlim(false);
        using var writing = new ManualResetEventSlim(false);
        int writes = 0;
        Files.BeforeWrite = _ =>
        {
            writing.Set();
            Assert.True(allAreQueued.Wait(Eventually.Deadline));
            if (++writes == 2)
                throw FaultyFiles.DiskFull();
        };
        List<Task<AppendedRange>> appends = [];
        for (int i = 0; i < 200; i++)
        {
            appends.Add(await log.EnqueueAsync(Batches.Of($"{i}"), AckLevel.Durable));
            Assert.True(writing.Wait(Eventually.Deadline));
        }

        allAreQueued.Set();
        await Task.WhenAll(appends).ContinueWith(_ => { }, TaskScheduler.Default).InTimeAsync();
        await log.AppendAsync(Batches.Of("last"), AckLevel.Durable).InTimeAsync();
        List<string> stored = Batches.ReadValues(log);
        for (int i = 0; i < appends.Count; i++)
        {
            if (appends[i].IsCompletedSuccessfully)
                Assert.Equal($"{i}", stored[(int)(await appends[i]).BaseOffset]);
            else
                Assert.IsType<StorageFullException>(Failure(appends[i]));
        }

        Assert.Equal(appends.Count(append => append.IsCompletedSuccessfully) + 1, stored.Count);
        Files.BeforeWrite = null;
    }

    [Fact]
    public async Task Small_file_system_that_fills_up_heals_when_there_is_room_again()
    {
        using TinyFileSystem? disk = TinyFileSystem.TryMount(Temp.Sub("disk"), kibibytes: 256);
        Assert.SkipWhen(disk is null, "mounting a file system needs root");
        string ballast = Path.Combine(disk.Path, "ballast");
        await File.WriteAllBytesAsync(ballast, new byte[128 * 1024]);
        PartitionLog log = Open(new LogOptions { SegmentBytes = 16 * 1024 }, Path.Combine(disk.Path, "log"));
        var values = new List<string>();
        bool wasFull = false;
        for (int i = 0; i < 200; i++)
        {
            string value = $"{i} " + new string('x', 1000);
            try
            {
                await log.AppendAsync(Batches.Of(value), AckLevel.Durable).InTimeAsync();
                values.Add(value);
            }
            catch (StorageFullException) when (!wasFull)
            {
                wasFull = true;
                Assert.Null(log.Failure);
                File.Delete(ballast);
            }
            catch (StorageFullException)
            {
                break;
            }
        }

        Assert.True(wasFull);
        Assert.Equal(values, Batches.ReadValues(log));
        await log.DisposeAsync();
        log = Open(directory: log.Directory);
        Assert.Equal(values, Batches.ReadValues(log));
        await log.DisposeAsync();
    }
}
