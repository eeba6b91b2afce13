using EdgeStream.Agent.Hosting;

namespace EdgeStream.Agent.Tests.Hosting;

public sealed class NodePathsTests
{
    [Fact]
    public void Variable_that_is_set_to_nothing_is_not_set()
    {
        var environment = new Dictionary<string, string?> { ["EDGESTREAM_SOCKET"] = "", ["EDGESTREAM_DATA"] = "" };
        Assert.Equal((NodePaths.DefaultSocket, NodePaths.DefaultData), Read());
        Assert.Equal(("/a/socket", "/a/data"), Read("/a/socket", "/a/data"));

        environment["EDGESTREAM_SOCKET"] = "/b/socket";
        environment["EDGESTREAM_DATA"] = "/b/data";
        Assert.Equal(("/b/socket", "/b/data"), Read("/a/socket", "/a/data"));

        (string, string) Read(string? socket = null, string? data = null) =>
            (NodePaths.Socket(null, socket, environment.GetValueOrDefault), NodePaths.Data(null, data, environment.GetValueOrDefault));
    }
}
