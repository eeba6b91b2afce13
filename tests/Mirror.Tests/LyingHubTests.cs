namespace EdgeStream.Mirror.Tests;

/// <summary>An edge believes nothing that cannot be, says so, and keeps its records.</summary>
public sealed class LyingHubTests
{
    [Theory]
    [InlineData(0, 1_000_000, 0, "acknowledged offsets of readings that were never sent")]
    [InlineData(0, 1, 7, "bytes that were not on their way")]
    [InlineData(5000, 0, 0, "the hub is at offset 5000, but this log ends at")]
    public async Task Offsets_from_the_future_and_bytes_never_sent_are_not_believed(long resume, long acknowledged, int extraBytes, string problem)
    {
        await using InProcessHub hub = await InProcessHub.StartAsync(lies: new LyingHub.Lies(resume, acknowledged, extraBytes));
        await using InProcessEdge edge = await InProcessEdge.JoinWithoutUplinkAsync(hub, "north", "readings");
        await edge.FillAsync("readings", 20);
        edge.StartUplink();
        await edge.FailsWithAsync(problem);
        Assert.True(edge.Log("readings").Offsets.Mirrored <= 1);
        Assert.Empty(edge.Log("readings").Gaps);
    }
}
