using EdgeStream.Agent.Cli;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests;

public sealed class NextStepsTests
{
    [Fact]
    public void New_edge_is_told_of_sources_and_of_hubs()
    {
        List<string> steps = [.. NextSteps.For(new NodeStatus { Role = "edge" })];
        Assert.Equal(2, steps.Count);
        Assert.Contains("add a source", steps[0], StringComparison.Ordinal);
        Assert.Contains("edgestream join", steps[1], StringComparison.Ordinal);
    }

    [Fact]
    public void Source_that_has_heard_nothing_is_named()
    {
        var status = new NodeStatus { Role = "edge", Sources = { new SourceStatus { Name = "gpio" } }, Uplinks = { new UplinkStatus() } };
        Assert.Contains("no source has received anything yet", Assert.Single(NextSteps.For(status)), StringComparison.Ordinal);
        status.Sources[0].Received = 1;
        Assert.Empty(NextSteps.For(status));
    }

    [Fact]
    public void Hub_without_edges_is_told_how_to_let_one_in()
    {
        var status = new NodeStatus { Role = "hub" };
        Assert.Contains("edgestream geo invite", Assert.Single(NextSteps.For(status)), StringComparison.Ordinal);
        status.GeoLocations.Add(new GeoLocation());
        Assert.Empty(NextSteps.For(status));
        status.Problems.Add("the disk is full");
        Assert.Contains("edgestream check", Assert.Single(NextSteps.For(status)), StringComparison.Ordinal);
    }

    [Fact]
    public void Sc_and_spu_are_told_nothing_that_is_for_edges()
    {
        Assert.Empty(NextSteps.For(new NodeStatus { Role = "spu", SpuRegistered = true }));
        Assert.Empty(NextSteps.For(new NodeStatus { Role = "sc", ScActive = false }));
        var active = new NodeStatus { Role = "sc", ScActive = true, SpusOnline = 0 };
        Assert.Contains("edgestream spu certificate", Assert.Single(NextSteps.For(active)), StringComparison.Ordinal);
        active.SpusOnline = 2;
        Assert.Contains("edgestream geo invite", Assert.Single(NextSteps.For(active)), StringComparison.Ordinal);
    }
}
