using System.Globalization;
using System.Text;
using EdgeStream.Harness;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests;

public sealed class LimitedSinkTests
{
    private readonly RecordingSink _inner = new();
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task What_comes_too_fast_is_refused_and_tokens_come_back_evenly()
    {
        var sink = new LimitedSink(_inner, new RateLimit(10, TimeSpan.FromSeconds(1)), AboveLimit.Drop, _time);
        Assert.Equal(10, await StoredOfAsync(20));
        _time.Advance(TimeSpan.FromMilliseconds(100));
        Assert.Equal(1, await StoredOfAsync(5));
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(10, await StoredOfAsync(20));

        async Task<int> StoredOfAsync(int count)
        {
            int before = _inner.Stored.Count;
            for (int i = 0; i < count; i++)
            {
                try
                {
                    await sink.AppendAsync(Record(i), CancellationToken.None);
                }
                catch (RecordRejectedException rejected)
                {
                    Assert.Equal(DropReason.RateLimit, rejected.Reason);
                    Assert.Equal("more than 10 records in 1 s; rate-limit sets how many", rejected.Message);
                }
            }

            return _inner.Stored.Count - before;
        }
    }

    [Fact]
    public async Task What_comes_too_fast_waits_and_keeps_its_order()
    {
        var sink = new LimitedSink(_inner, new RateLimit(2, TimeSpan.FromSeconds(1)), AboveLimit.Wait, _time);
        long begin = _time.GetTimestamp();
        Task[] all = [.. Enumerable.Range(0, 6).Select(i => sink.AppendAsync(Record(i), CancellationToken.None).AsTask())];
        await Condition.WaitAsync("two are there", () => _inner.Stored.Count == 2);
        for (int expected = 3; expected <= 6; expected++)
        {
            await Condition.WaitAsync($"{expected} are there", () =>
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
                return _inner.Stored.Count >= expected;
            });
        }

        await Task.WhenAll(all);
        Assert.Equal(["0", "1", "2", "3", "4", "5"], _inner.StoredValues);
        Assert.True(_time.GetElapsedTime(begin) >= TimeSpan.FromSeconds(2));
    }

    [Fact]
    public async Task One_that_gives_up_lets_the_next_one_have_its_turn()
    {
        var sink = new LimitedSink(_inner, new RateLimit(1, TimeSpan.FromSeconds(1)), AboveLimit.Wait, _time);
        await sink.AppendAsync(Record(0), CancellationToken.None);
        using var giveUp = new CancellationTokenSource();
        Task second = sink.AppendAsync(Record(1), giveUp.Token).AsTask();
        Task third = sink.AppendAsync(Record(2), CancellationToken.None).AsTask();
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second);
        await Condition.WaitAsync("the third is there", () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return third.IsCompletedSuccessfully;
        });
        Assert.Equal(["0", "2"], _inner.StoredValues);
    }

    private static SourceRecord Record(int number) =>
        new("t", null, Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture)), DateTimeOffset.UnixEpoch, []);
}
