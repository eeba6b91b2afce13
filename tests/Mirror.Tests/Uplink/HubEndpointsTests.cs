using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Mirror.Tests.Uplink;

/// <summary>In which order an edge asks the addresses that it knows.</summary>
public sealed class HubEndpointsTests : IAsyncLifetime
{
    private static readonly Uri First = HubAddress.Parse("spu1:9444"), Second = HubAddress.Parse("spu2:9444");

    private InProcessHub _hub = null!;
    private InProcessEdge _edge = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await InProcessHub.StartAsync();
        _edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north");
    }

    public async ValueTask DisposeAsync()
    {
        await _edge.DisposeAsync();
        await _hub.DisposeAsync();
    }

    [Fact]
    public void What_has_worked_comes_first_and_what_has_failed_since_last()
    {
        var endpoints = new HubEndpoints(_edge.Identity);
        endpoints.Learn(["spu1:9444", "spu2:9444"]);
        Assert.Equal([_hub.Address, "spu1:9444", "spu2:9444"], Authorities());

        endpoints.Worked(Second);
        Assert.Equal(["spu2:9444", _hub.Address, "spu1:9444"], Authorities());

        endpoints.Failed(Second);
        Assert.Equal([_hub.Address, "spu1:9444", "spu2:9444"], Authorities());
        endpoints.Worked(First);
        Assert.Equal(["spu1:9444", _hub.Address, "spu2:9444"], Authorities());

        endpoints.Worked(Second);
        Assert.Equal(["spu2:9444", _hub.Address, "spu1:9444"], Authorities());

        string[] Authorities() => [.. endpoints.All.Select(address => address.Authority)];
    }

    [Fact]
    public void The_only_address_is_asked_though_it_has_failed()
    {
        var endpoints = new HubEndpoints(_edge.Identity);
        endpoints.Failed(HubAddress.Parse(_hub.Address));
        Assert.Equal(_hub.Address, Assert.Single(endpoints.All).Authority);
    }
}
