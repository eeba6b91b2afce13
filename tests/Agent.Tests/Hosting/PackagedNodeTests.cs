using EdgeStream.Agent.Hosting;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>Which node a command means that looks at one of this machine.</summary>
public sealed class PackagedNodeTests
{
    private const string EdgeSocket = "/run/edgestream/edgestream.sock", ScSocket = "/run/edgestream-sc/edgestream.sock", SpuSocket = "/run/edgestream-spu/edgestream.sock";

    [Theory]
    [InlineData("edge", EdgeSocket, ScSocket)]
    [InlineData("sc", ScSocket)]
    [InlineData("sc", SpuSocket, ScSocket)]
    [InlineData("spu", SpuSocket, "/etc/edgestream/sc.toml", "/var/lib/edgestream-sc")]
    [InlineData("hub", "/run/edgestream-hub/edgestream.sock")]
    [InlineData("edge")]
    [InlineData("edge", "/etc/edgestream/edgestream.toml", "/etc/edgestream/sc.toml")]
    [InlineData("sc", "/etc/edgestream/sc.toml", "/etc/edgestream/spu.toml", "/var/lib/edgestream-sc")]
    [InlineData("edge", "/etc/edgestream/sc.toml", "/etc/edgestream/spu.toml")]
    public void Who_runs_is_meant_or_else_who_has_run(string kind, params string[] there) =>
        Assert.Equal(kind, PackagedNode.Find(null, null, there.Contains)?.Kind);

    [Fact]
    public void Who_is_named_is_meant_whoever_runs()
    {
        string[] there = [EdgeSocket, ScSocket, SpuSocket];

        Assert.Equal("spu", PackagedNode.Find("/etc/edgestream/spu.toml", null, there.Contains)?.Kind);
        Assert.Equal("spu", PackagedNode.Find(null, SpuSocket, there.Contains)?.Kind);
        Assert.Equal("spu", PackagedNode.Find("/etc/edgestream/spu.toml", ScSocket, there.Contains)?.Kind);
        Assert.Null(PackagedNode.Find("/root/spu.toml", null, there.Contains));
        Assert.Null(PackagedNode.Find(null, "/root/spu.sock", there.Contains));
    }

    // What the units say; the tests of the package run them.
    [Fact]
    public void Spu_is_where_its_unit_has_it() => Assert.Equal(
        new PackagedNode("spu", "/etc/edgestream/spu.toml", "/var/lib/edgestream-spu", SpuSocket, 9444), PackagedNode.Find(null, SpuSocket, _ => false));
}
