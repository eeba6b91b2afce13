using System.Text;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Records;

public class RecordExpiryTests
{
    private static readonly RecordExpiry TenSeconds = new(TimeSpan.FromSeconds(10));

    [Fact]
    public void Topics_time_to_live_counts_from_the_timestamp() => Assert.Equal(11_000, TenSeconds.ExpiresAt(At(1000)));

    [Fact]
    public void Record_of_a_topic_without_one_never_expires() =>
        Assert.Equal(RecordExpiry.Never, new RecordExpiry(null).ExpiresAt(At(1000)));

    [Theory]
    [InlineData("500ms", 1500)]
    [InlineData("30s", 31_000)]
    [InlineData("1.5m", 91_000)]
    [InlineData("1d", 86_401_000)]
    public void Records_own_goes_before_the_topics(string own, long expected)
    {
        Assert.Equal(expected, TenSeconds.ExpiresAt(At(1000, own)));
        Assert.Equal(expected, new RecordExpiry(null).ExpiresAt(At(1000, own)));
        Assert.False(RecordExpiry.HasUnreadableTimeToLive(At(1000, own)));
    }

    [Theory]
    [InlineData("")]
    [InlineData("soon")]
    [InlineData("10")]
    [InlineData("-1s")]
    [InlineData("0s")]
    [InlineData("99999999999999999999999999999999999999s")]
    public void One_that_cannot_be_read_has_expired_from_the_start(string own)
    {
        Assert.Equal(1000, TenSeconds.ExpiresAt(At(1000, own)));
        Assert.True(RecordExpiry.HasUnreadableTimeToLive(At(1000, own)));
    }

    [Fact]
    public void Header_without_a_value_cannot_be_read_either() => Assert.True(RecordExpiry.HasUnreadableTimeToLive(
        new Record(0, 1000, null, null, [new RecordHeader(RecordExpiry.HeaderName, null)])));

    [Fact]
    public void Timestamp_at_the_end_of_time_does_not_turn_round() =>
        Assert.Equal(RecordExpiry.Never, TenSeconds.ExpiresAt(At(long.MaxValue - 5)));

    [Theory]
    [InlineData(CompressionCodec.None)]
    [InlineData(CompressionCodec.Zstd)]
    public void Batch_expires_with_the_last_of_its_records(CompressionCodec codec)
    {
        Assert.Equal(61_000, TenSeconds.ExpiresAt(Batches.Build(0, codec, [At(5000), At(1000, "1m"), At(2000, "1s")])));
        Assert.Equal(RecordExpiry.Never, new RecordExpiry(null).ExpiresAt(Batches.Build(0, codec, [At(5000, "1s"), At(1000)])));
    }

    [Fact]
    public void Batch_that_cannot_be_read_never_expires()
    {
        byte[] batch = Batches.Stamped(1000);
        batch[^1] ^= 1;
        Assert.Equal(RecordExpiry.Never, TenSeconds.ExpiresAt(batch));
    }

    private static Record At(long timestamp, string? own = null) => new(
        0, timestamp, null, null, own is null ? [] : [new RecordHeader(RecordExpiry.HeaderName, Encoding.UTF8.GetBytes(own))]);
}
