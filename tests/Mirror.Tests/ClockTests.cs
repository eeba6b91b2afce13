using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests;

/// <summary>Readings of a board without a clock chip: once the board knows the time, so does the hub when they were made.</summary>
public sealed class ClockTests : IAsyncLifetime
{
    private readonly FakeClock _clock = new();
    private InProcessHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await InProcessHub.StartAsync();

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Hub_corrects_what_was_stamped_before_the_clock_was_set()
    {
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(
            _hub, "berlin-7", new LogResources { Clock = _clock }, "readings");
        edge.StartUplink();
        long stamped = _clock.Wall, made = _clock.True;
        PartitionLog log = edge.Log("readings");
        await log.AppendAsync(Batches.Stamped(stamped), AckLevel.Durable);
        await edge.IsMirroredAsync(_hub, "readings");
        PartitionLog copy = _hub.LogOf("berlin-7", "readings")!;
        Assert.Equal(new CorrectedTime(stamped, TimeCertainty.Unknown), copy.CorrectTimestamp(0, stamped));

        _clock.Advance(TimeSpan.FromMinutes(5));
        _clock.Synchronise();
        await Eventually.HoldsAsync(
            () =>
            {
                // A log looks at the clock once a second at most, and only when something comes in.
                log.AppendAsync(Batches.Stamped(_clock.Wall), AckLevel.Written).AsTask().GetAwaiter().GetResult();
                return copy.CorrectTimestamp(0, stamped) == new CorrectedTime(made, TimeCertainty.Corrected);
            },
            "the hub knows when the record was made");

        // In another session of the uplink, only what is new goes up; what is known stays.
        byte[] known = copy.Clock.History.EncodeLast();
        await edge.RestartUplinkAsync();
        await edge.IsMirroredAsync(_hub, "readings");
        Assert.Equal(known, copy.Clock.History.EncodeLast());
        Assert.Equal(new CorrectedTime(made, TimeCertainty.Corrected), copy.CorrectTimestamp(0, stamped));
    }
}
