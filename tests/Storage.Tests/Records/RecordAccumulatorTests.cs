using System.Collections.Concurrent;
using System.Text;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Records;

public class RecordAccumulatorTests
{
    private readonly FakeLog _log = new();

    [Fact]
    public async Task Lone_record_is_sent_at_once()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        Assert.Equal(0, await (await accumulator.AddAsync(Value("a"))).InTimeAsync());
        Assert.Equal([["a"]], _log.Batches);
    }

    [Fact]
    public async Task Records_that_come_while_a_batch_is_sent_go_together_in_the_next()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.Zstd, _log.SendAsync);
        _log.SendMayReturn.Reset();
        List<Task<long>> offsets = [await accumulator.AddAsync(Value("first"))];
        await Eventually.HoldsAsync(() => _log.Batches.Count == 1, "the first is being sent");
        for (int i = 0; i < 100; i++)
            offsets.Add(await accumulator.AddAsync(Value($"{i}")));

        _log.SendMayReturn.Set();
        Assert.Equal(Enumerable.Range(0, 101).Select(i => (long)i), await Task.WhenAll(offsets).InTimeAsync());
        Assert.Equal([1, 100], _log.Batches.Select(batch => batch.Length));
        Assert.Equal(["first", .. Enumerable.Range(0, 100).Select(i => $"{i}")], _log.Batches.SelectMany(batch => batch));
    }

    [Fact]
    public async Task Records_whose_offsets_nobody_wants_share_the_wait_for_their_batch()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        _log.SendMayReturn.Reset();
        await accumulator.AddAsync(Value("first"));
        await Eventually.HoldsAsync(() => _log.Batches.Count == 1, "the first is being sent");
        Task second = await accumulator.AddToBatchAsync(Value("second"));
        Task<long> third = await accumulator.AddAsync(Value("third"));
        Assert.Same(second, await accumulator.AddToBatchAsync(Value("fourth")));
        Assert.False(second.IsCompleted);

        _log.SendMayReturn.Set();
        await second.InTimeAsync();
        Assert.Equal(2, await third.InTimeAsync());
        Assert.Equal([["first"], ["second", "third", "fourth"]], _log.Batches);
    }

    [Fact]
    public async Task Batches_are_closed_before_they_grow_large()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        _log.SendMayReturn.Reset();
        List<Task<long>> offsets = [];
        for (int i = 0; i < 200; i++)
            offsets.Add(await accumulator.AddAsync(new Record(0, null, new byte[1000])));

        _log.SendMayReturn.Set();
        await Task.WhenAll(offsets).InTimeAsync();
        Assert.All(_log.Batches, batch => Assert.InRange(batch.Length, 1, 66));
    }

    [Fact]
    public async Task Full_batches_go_before_the_last_one_is_acknowledged_and_others_wait_for_it_where_that_is_wanted()
    {
        var acknowledgements = new ConcurrentQueue<TaskCompletionSource<long>>();
        await using var accumulator = new RecordAccumulator(
            CompressionCodec.None,
            (_, _) =>
            {
                var acknowledged = new TaskCompletionSource<long>();
                acknowledgements.Enqueue(acknowledged);
                return ValueTask.FromResult(acknowledged.Task);
            },
            fillsWhileUnacknowledged: true);
        Task<long> first = await accumulator.AddAsync(Value("first"));
        await Eventually.HoldsAsync(() => acknowledgements.Count == 1, "a lone record goes at once");
        Task<long> last = first;
        for (int i = 0; i < 100; i++)
            last = await accumulator.AddAsync(new Record(0, null, new byte[1000]));

        await Eventually.HoldsAsync(() => acknowledgements.Count == 2, "the full batch goes");
        Assert.True(acknowledgements.TryDequeue(out var ofFirst));
        Assert.True(acknowledgements.TryDequeue(out var ofSecond));
        ofFirst!.SetResult(0);
        Assert.Equal(0, await first.InTimeAsync());
        Assert.Empty(acknowledgements);
        ofSecond!.SetResult(1);
        await Eventually.HoldsAsync(() => acknowledgements.Count == 1, "the rest goes");
        Assert.True(acknowledgements.TryDequeue(out var ofLast));
        ofLast!.SetResult(65);
        Assert.Equal(100, await last.InTimeAsync());
    }

    [Fact]
    public async Task Waiters_get_their_place_in_the_order_in_which_they_came()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        List<Task<Task<long>>> adds = await FillUpAsync(accumulator);
        for (int i = 0; i < 50; i++)
            adds.Add(accumulator.AddAsync(Value($"waiter {i}")).AsTask());

        Assert.All(adds[^50..], add => Assert.False(add.IsCompleted));
        _log.AcknowledgeAll();
        Task<long>[] offsets = await Task.WhenAll(adds).InTimeAsync();
        Assert.Equal(Enumerable.Range(0, adds.Count).Select(i => (long)i), await Task.WhenAll(offsets).InTimeAsync());
        Assert.Equal(Enumerable.Range(0, 50).Select(i => $"waiter {i}"), _log.Batches.SelectMany(batch => batch).TakeLast(50));
    }

    [Fact]
    public async Task Cancelled_waiter_is_not_sent_and_the_next_one_is()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        await FillUpAsync(accumulator);
        using var cancel = new CancellationTokenSource();
        Task<Task<long>> given = accumulator.AddAsync(Value("given up"), cancel.Token).AsTask();
        Task<Task<long>> next = accumulator.AddAsync(Value("next")).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.InTimeAsync());
        Assert.False(next.IsCompleted);

        _log.AcknowledgeAll();
        await (await next.InTimeAsync()).InTimeAsync();
        Assert.DoesNotContain("given up", _log.Batches.SelectMany(batch => batch));
        Assert.Equal("next", _log.Batches.SelectMany(batch => batch).Last());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Failed_batch_fails_its_records_and_no_others(bool whenSent)
    {
        int sent = 0;
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, (batch, cancellationToken) =>
        {
            if (++sent != 2)
                return _log.SendAsync(batch, cancellationToken);

            var failure = new IOException("gone");
            return whenSent ? throw failure : ValueTask.FromResult(Task.FromException<long>(failure));
        });
        _log.SendMayReturn.Reset();
        Task<long> first = await accumulator.AddAsync(Value("first"));
        await Eventually.HoldsAsync(() => _log.Batches.Count == 1, "the first is being sent");
        Task<long>[] failing = [await accumulator.AddAsync(Value("a")), await accumulator.AddAsync(Value("b"))];
        _log.SendMayReturn.Set();

        Assert.Equal(0, await first.InTimeAsync());
        foreach (Task<long> failed in failing)
            await Assert.ThrowsAsync<IOException>(() => failed.InTimeAsync());

        Assert.Equal(1, await (await accumulator.AddAsync(Value("later"))).InTimeAsync());
    }

    [Fact]
    public async Task Record_too_large_for_any_batch_is_refused_alone()
    {
        await using var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        var tooLarge = new Record(0, null, new byte[RecordBatchHeader.MaxBatchSize]);
        await Assert.ThrowsAsync<RecordTooLargeException>(() => accumulator.AddAsync(tooLarge).InTimeAsync());

        await FillUpAsync(accumulator);
        Task<Task<long>> waiting = accumulator.AddAsync(tooLarge).AsTask();
        Task<Task<long>> next = accumulator.AddAsync(Value("next")).AsTask();
        _log.AcknowledgeAll();
        await Assert.ThrowsAsync<RecordTooLargeException>(() => waiting.InTimeAsync());
        await (await next.InTimeAsync()).InTimeAsync();
    }

    [Fact]
    public async Task Disposing_sends_what_has_its_place_and_refuses_who_waits()
    {
        var accumulator = new RecordAccumulator(CompressionCodec.None, _log.SendAsync);
        List<Task<Task<long>>> placed = await FillUpAsync(accumulator);
        Task<Task<long>> waiting = accumulator.AddAsync(Value("waiting")).AsTask();
        Task disposing = accumulator.DisposeAsync().AsTask();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => waiting.InTimeAsync());
        await Assert.ThrowsAsync<ObjectDisposedException>(() => accumulator.AddAsync(Value("late")).InTimeAsync());
        Assert.False(disposing.IsCompleted);

        _log.AcknowledgeAll();
        await disposing.InTimeAsync();
        foreach (Task<Task<long>> add in placed)
            await (await add).InTimeAsync();
    }

    [Fact]
    public async Task Abort_ends_a_send_that_would_wait_for_ever()
    {
        var accumulator = new RecordAccumulator(CompressionCodec.None, async (_, cancellationToken) =>
        {
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return Task.FromResult(0L);
        });
        Task<long> offset = await accumulator.AddAsync(Value("a"));
        accumulator.Abort();
        await accumulator.DisposeAsync().InTimeAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => offset.InTimeAsync());
    }

    /// <summary>Adds records of a batch each, which nobody acknowledges, until the next one has to wait; that one was cancelled.</summary>
    private async Task<List<Task<Task<long>>>> FillUpAsync(RecordAccumulator accumulator)
    {
        _log.HoldAcknowledgements = true;
        var adds = new List<Task<Task<long>>>();
        while (true)
        {
            using var cancel = new CancellationTokenSource();
            Task<Task<long>> add = accumulator.AddAsync(new Record(0, null, new byte[65 * 1024]), cancel.Token).AsTask();
            if (!add.IsCompleted)
            {
                await cancel.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => add.InTimeAsync());
                return adds;
            }

            adds.Add(add);
        }
    }

    private static Record Value(string value) => new(0, null, Encoding.UTF8.GetBytes(value));

    /// <summary>Takes batches and gives offsets, when it is let.</summary>
    private sealed class FakeLog
    {
        private readonly TaskCompletionSource _acknowledge = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private long _end;

        public ManualResetEventSlim SendMayReturn { get; } = new(true);

        public bool HoldAcknowledgements { get; set; }

        public List<string[]> Batches { get; } = [];

        public void AcknowledgeAll() => _acknowledge.SetResult();

        public ValueTask<Task<long>> SendAsync(ReadOnlyMemory<byte> batch, CancellationToken cancellationToken)
        {
            string[] values = [.. SampleBatches.Decode(batch).Select(record => Encoding.UTF8.GetString(record.Value!.Value.Span))];
            long offset = _end;
            _end += values.Length;
            Batches.Add(values);
            Assert.True(SendMayReturn.Wait(Eventually.Deadline, cancellationToken));
            return ValueTask.FromResult(AcknowledgeAsync(offset));
        }

        private async Task<long> AcknowledgeAsync(long offset)
        {
            if (HoldAcknowledgements)
                await _acknowledge.Task;

            return offset;
        }
    }
}
