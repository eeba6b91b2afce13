using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

public class PartitionLogTests : LogTestBase
{
    [Fact]
    public async Task Appended_records_are_read_back_in_order()
    {
        PartitionLog log = Open();
        Assert.Equal(new AppendedRange(0, 1), await log.AppendAsync(Batches.Of("a", "b"), AckLevel.Durable));
        Assert.Equal(new AppendedRange(2, 2), await log.AppendAsync(Batches.Of("c"), AckLevel.Durable));
        Assert.Equal(["a", "b", "c"], Batches.ReadValues(log));
        Assert.Equal(new LogOffsets(0, 0, 3, 3), log.Offsets);
    }

    [Fact]
    public async Task Several_batches_in_one_append_get_offsets_one_after_the_other()
    {
        PartitionLog log = Open();
        AppendedRange range = await log.AppendAsync((byte[])[.. Batches.Of("a", "b"), .. Batches.At(77, "c")], AckLevel.Durable);
        Assert.Equal(new AppendedRange(0, 2), range);
        Assert.Equal(["a", "b", "c"], Batches.ReadValues(log));
    }

    [Fact]
    public async Task Append_past_limit_rolls_segment()
    {
        PartitionLog log = Open();
        List<string> values = await FillAsync(log, 20);
        Assert.True(SegmentsIn(LogDirectory).Length > 3);
        Assert.All(SegmentsIn(LogDirectory), path => Assert.InRange(new FileInfo(path).Length, 0, TinySegments.SegmentBytes));
        Assert.Equal(values, Batches.ReadValues(log));
        await log.DisposeAsync();
        string[] rest = [PartitionManifest.FileName, LogCheckpoint.FileName];
        Assert.Equal(
            new DirectoryInfo(LogDirectory).EnumerateFiles().Where(file => !rest.Contains(file.Name)).Sum(file => file.Length),
            log.SizeInBytes());
    }

    [Fact]
    public async Task Batch_larger_than_a_segment_gets_one_of_its_own()
    {
        PartitionLog log = Open();
        string large = new('x', 5000);
        foreach (string value in (string[])["a", large, "b"])
            await log.AppendAsync(Batches.Of(value), AckLevel.Durable);

        Assert.Equal(["a", large, "b"], Batches.ReadValues(log, maxBytes: 1));
        Assert.Equal(3, SegmentsIn(LogDirectory).Length);
    }

    [Theory]
    [InlineData("empty")]
    [InlineData("torn")]
    [InlineData("flipped")]
    public async Task Append_of_a_damaged_batch_is_refused_and_changes_nothing(string damage)
    {
        PartitionLog log = Open();
        byte[] batch = Batches.Of("a");
        batch = damage switch { "empty" => [], "torn" => batch[..^1], _ => [.. batch[..^1], (byte)(batch[^1] ^ 1)] };
        await Assert.ThrowsAsync<CorruptBatchException>(async () => await log.AppendAsync(batch, AckLevel.Durable));
        Assert.Equal(0, log.Offsets.End);
    }

    [Fact]
    public async Task Reading_outside_the_log_says_what_it_holds()
    {
        PartitionLog log = Open();
        await FillAsync(log, 2);
        foreach (long offset in (long[])[-1, 4, long.MaxValue])
        {
            var error = Assert.Throws<OffsetOutOfRangeException>(() => log.OpenReader(offset));
            Assert.Equal((0, 3), (error.Start, error.End));
        }
    }

    [Fact]
    public async Task Settings_are_kept_with_the_data()
    {
        PartitionLog log = Open();
        log.SaveSetting("edge", "7");
        Guid incarnation = log.Manifest.Incarnation;
        await log.DisposeAsync();

        PartitionLog again = Open();
        Assert.Equal("7", again.Manifest.Settings["edge"]);
        Assert.Equal(incarnation, again.Manifest.Incarnation);
    }

    [Fact]
    public async Task Disposed_log_refuses_appends_and_ends_waits()
    {
        PartitionLog log = Open();
        Task wait = log.WaitForDurableAsync(1, CancellationToken.None).AsTask();
        await log.DisposeAsync();
        await Assert.ThrowsAsync<LogClosedException>(() => wait.InTimeAsync());
        await Assert.ThrowsAsync<LogClosedException>(async () => await log.AppendAsync(Batches.Of("a"), AckLevel.Written));
    }
}
