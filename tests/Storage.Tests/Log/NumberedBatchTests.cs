using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>Batches that carry their producer's numbers are appended once and in their order, however often they are sent.</summary>
public class NumberedBatchTests : LogTestBase
{
    [Fact]
    public async Task Batch_that_is_sent_again_is_acknowledged_with_its_offsets_and_not_stored_again()
    {
        PartitionLog log = Open();
        byte[] first = Batch(7, 0, "a", "b"), second = Batch(7, 2, "c");
        Assert.Equal(new AppendedRange(0, 1), await AddAsync(log, first));
        Assert.Equal(new AppendedRange(2, 2), await AddAsync(log, second));
        Assert.Equal(new AppendedRange(0, 1), await AddAsync(log, first));
        Assert.Equal(new AppendedRange(0, 3), await AddAsync(log, [.. first, .. second, .. Batch(7, 3, "d")]));
        Assert.Equal(["a", "b", "c", "d"], Batches.ReadValues(log));
    }

    [Fact]
    public async Task Producers_and_batches_without_numbers_do_not_mix()
    {
        PartitionLog log = Open();
        await AddAsync(log, Batch(7, 0, "a"));
        await AddAsync(log, Batch(8, 0, "b"));
        await AddAsync(log, Batches.Of("c"));
        await AddAsync(log, Batches.Of("c"));
        await AddAsync(log, Batch(7, 1, "d"));
        Assert.Equal(["a", "b", "c", "c", "d"], Batches.ReadValues(log));
    }

    [Theory]
    [InlineData(7, 2, 0, "goes on with 2 where 1 is the next")]
    [InlineData(9, 1, 0, "what it has appended before is not known here any more")]
    [InlineData(7, 0, -1, "is out")]
    public async Task Batch_that_does_not_continue_is_refused_and_nothing_changes(long producer, int sequence, short epoch, string problem)
    {
        PartitionLog log = Open();
        await AddAsync(log, Batch(7, 0, "a"));
        var refused = await Assert.ThrowsAsync<SequenceConflictException>(() => AddAsync(log, Batch(producer, sequence, epoch, "x")));
        Assert.Contains(problem, refused.Message, StringComparison.Ordinal);
        await AddAsync(log, Batch(7, 1, "b"));
        Assert.Equal(["a", "b"], Batches.ReadValues(log));
    }

    [Fact]
    public async Task Other_batch_with_the_number_of_one_that_was_appended_is_refused()
    {
        PartitionLog log = Open();
        await AddAsync(log, Batch(7, 0, "a", "b"));
        await AddAsync(log, Batch(7, 2, "c"));
        await Assert.ThrowsAsync<SequenceConflictException>(() => AddAsync(log, Batch(7, 0, "only one")));
        Assert.Equal(["a", "b", "c"], Batches.ReadValues(log));
    }

    [Fact]
    public async Task New_epoch_begins_with_0_and_ends_the_one_before()
    {
        PartitionLog log = Open();
        await AddAsync(log, Batch(7, 0, "a"));
        await AddAsync(log, Batch(7, 0, epoch: 1, "b"));
        await Assert.ThrowsAsync<SequenceConflictException>(() => AddAsync(log, Batch(7, 1, "late")));
        Assert.Equal(["a", "b"], Batches.ReadValues(log));
    }

    [Fact]
    public void Numbers_go_on_with_0_behind_the_largest()
    {
        var sequences = new ProducerSequences();
        sequences.Note(HeaderOf(Batch(7, int.MaxValue - 1, "a", "b")), 0);
        Assert.True(sequences.TryFollow(HeaderOf(Batch(7, 0, "c")), out AppendedRange? known, out _));
        Assert.Null(known);
    }

    [Fact]
    public async Task Log_that_is_opened_again_knows_them()
    {
        PartitionLog log = Open(new LogOptions { SegmentBytes = 4096, PreallocateBytes = 4096 });
        for (int i = 0; i < 200; i++)
            await AddAsync(log, Batch(7, i, new string('x', 100)));

        await log.DisposeAsync();
        log = Open();
        Assert.Equal(new AppendedRange(199, 199), await AddAsync(log, Batch(7, 199, new string('x', 100))));
        Assert.Equal(new AppendedRange(200, 200), await AddAsync(log, Batch(7, 200, "next")));
        await Assert.ThrowsAsync<SequenceConflictException>(() => AddAsync(log, Batch(7, 202, "one is missing")));
    }

    [Fact]
    public async Task Batch_for_which_there_was_no_room_is_taken_when_it_comes_again_and_not_the_one_behind_it()
    {
        var files = new FaultyFiles();
        PartitionLog log = Open(files: files);
        await AddAsync(log, Batch(7, 0, "a"));
        files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        await Assert.ThrowsAsync<StorageFullException>(() => AddAsync(log, Batch(7, 1, "b")));
        files.BeforeWrite = null;

        await Assert.ThrowsAsync<SequenceConflictException>(() => AddAsync(log, Batch(7, 2, "c")));
        Assert.Equal(new AppendedRange(1, 1), await AddAsync(log, Batch(7, 1, "b")));
        Assert.Equal(new AppendedRange(2, 2), await AddAsync(log, Batch(7, 2, "c")));
        Assert.Equal(["a", "b", "c"], Batches.ReadValues(log));
    }

    [Fact]
    public void Of_ever_new_producers_the_oldest_are_forgotten()
    {
        var sequences = new ProducerSequences();
        for (int id = 0; id <= ProducerSequences.MaxProducers; id++)
        {
            sequences.Note(HeaderOf(Batch(id, 0, "x")), id);
            Assert.True(sequences.TryFollow(HeaderOf(Batch(0, 1, "x")), out _, out _) == (id < ProducerSequences.MaxProducers));
        }

        Assert.True(sequences.TryFollow(HeaderOf(Batch(1, 1, "x")), out _, out _));
    }

    private static Task<AppendedRange> AddAsync(PartitionLog log, byte[] batches) => log.AppendAsync(batches, AckLevel.Durable).AsTask();

    private static byte[] Batch(long producer, int sequence, params string[] values) => Batch(producer, sequence, 0, values);

    private static byte[] Batch(long producer, int sequence, short epoch, params string[] values)
    {
        using var writer = new RecordBatchWriter(new RecordBatchOptions { ProducerId = producer, ProducerEpoch = epoch, BaseSequence = sequence });
        foreach (string value in values)
            writer.Append(new Record(0, 0, null, System.Text.Encoding.UTF8.GetBytes(value), []));

        return writer.Build().ToArray();
    }

    private static RecordBatchHeader HeaderOf(byte[] batch)
    {
        Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
        return header;
    }
}
