using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Commands on a machine that is not the hub's.</summary>
public sealed class NetworkClientTests
{
    [Fact(Timeout = 120_000)]
    public async Task Command_goes_to_any_hub_that_answers()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take(), nobody = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", "orders", "--partitions", "2");
        await hub.CommandAsync("cert", "issue", "me", "--role", "admin", "--out", directory.Path);
        string[] certificates = ["--cert", directory.At("me.crt"), "--key-file", directory.At("me.key"), "--ca", directory.At("hub-ca.crt")];

        foreach (string[] connect in (string[][])
            [["--connect", $"https://127.0.0.1:{nobody},https://127.0.0.1:{port}"], ["--connect", $"https://127.0.0.1:{nobody}", "--connect", $"https://127.0.0.1:{port}"]])
        {
            using JsonDocument topology = JsonDocument.Parse(await EdgeStreamProgram.RunGoodAsync(["topology", "-o", "json", .. connect, .. certificates]));
            JsonElement cluster = Assert.Single(topology.RootElement.EnumerateArray());
            Assert.Equal(2, cluster.GetProperty("partitions").GetArrayLength());
            Assert.Equal(2, Assert.Single(cluster.GetProperty("spus").EnumerateArray()).GetProperty("partitions").GetInt32());
        }

        (int code, _, string error) = await EdgeStreamProgram.RunAsync(["spu", "list", "--connect", $"https://127.0.0.1:{nobody},https://127.0.0.1:{FreePort.Take()}", .. certificates]);
        Assert.Equal(1, code);
        Assert.Contains($"no answer from https://127.0.0.1:{nobody} (Connection refused), https://127.0.0.1:", error, StringComparison.Ordinal);
    }
}
