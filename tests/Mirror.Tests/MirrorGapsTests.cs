using EdgeStream.Storage.Gaps;

namespace EdgeStream.Mirror.Tests;

public sealed class MirrorGapsTests
{
    private static readonly DateTimeOffset Now = DateTimeOffset.UnixEpoch;

    [Fact]
    public void What_the_ledger_knows_at_an_offset_is_what_is_missing_there_wherever_the_log_began()
    {
        // Noted when the log's start had been read and not moved yet, or had moved already.
        Gap noted = Known(5, 9);
        foreach (long start in (long[])[5, 7, 10, 20])
            Assert.Equal(noted, MirrorGaps.FindAt(7, start, noted, Now));
    }

    [Theory]
    [InlineData(20, -1, 19L)]
    [InlineData(20, 12, 11L)]
    [InlineData(20, 30, 19L)]
    [InlineData(8, -1, 7L)]
    [InlineData(7, -1, null)]
    [InlineData(0, 8, null)]
    public void Before_the_logs_start_all_is_missing_up_to_the_next_gap_that_is_known(long start, long knownFirst, long? last)
    {
        Gap? gap = MirrorGaps.FindAt(7, start, knownFirst < 0 ? null : Known(knownFirst, knownFirst + 1), Now);
        Assert.Equal((last is null ? null : 7L, last), (gap?.First, gap?.Last));
    }

    private static Gap Known(long first, long last) => new(first, last, 100, 1, 2, GapReason.Overflow, 3);
}
