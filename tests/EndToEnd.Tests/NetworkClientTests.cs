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

    [Fact(Timeout = 120_000)]
    public async Task What_is_wrong_with_the_certificates_is_told_in_one_line()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        await hub.StartAsync();
        await hub.CommandAsync("cert", "issue", "me", "--role", "admin", "--out", directory.Path);
        using var other = new TestAuthority(directory.Path, "other-ca");
        (string stranger, string strangersKey) = other.Issue("stranger");
        string certificate = directory.At("me.crt"), key = directory.At("me.key"), authority = directory.At("hub-ca.crt");

        await AssertAsync($"--key-file '{strangersKey}' has not the key of the certificate '{certificate}'", certificate, strangersKey, authority);
        await AssertAsync("what answers there has a certificate of another CA than --ca", certificate, key, other.File);
        await AssertAsync("the client certificate was refused: it was not issued by this cluster's CA", stranger, strangersKey, authority);

        async Task AssertAsync(string expected, string cert, string keyFile, string ca)
        {
            (int code, string output, string error) = await EdgeStreamProgram.RunAsync(
                ["topology", "--connect", $"https://127.0.0.1:{port}", "--cert", cert, "--key-file", keyFile, "--ca", ca]);
            Assert.Equal((1, ""), (code, output));
            Assert.Contains(expected, error, StringComparison.Ordinal);
            Assert.Single(error.Trim().Split('\n'));
        }
    }

    [Fact(Timeout = 120_000)]
    public async Task Certificates_of_a_name_are_revoked_for_good()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        await hub.StartAsync();
        await hub.CommandAsync("cert", "issue", "me", "--role", "admin", "--out", directory.Path);
        string[] asMe = ["topology", "--connect", $"https://127.0.0.1:{port}", "--cert", directory.At("me.crt"), "--key-file", directory.At("me.key"), "--ca", directory.At("hub-ca.crt")];
        await EdgeStreamProgram.RunGoodAsync(asMe);

        Assert.Contains("the certificates of 'me' are refused from now on", await hub.CommandAsync("cert", "revoke", "me"), StringComparison.Ordinal);
        await AssertRefusedAsync();
        await hub.Process.StopAsync();
        await hub.StartAsync();
        await AssertRefusedAsync();
        Assert.Equal("""[{"name":"me"}]""", string.Concat((await hub.CommandAsync("cert", "revoked", "-o", "json")).Where(c => !char.IsWhiteSpace(c))));
        (int code, _, string error) = await EdgeStreamProgram.RunAsync(["cert", "issue", "me", "--role", "consumer", "--out", directory.Path, "--socket", hub.Socket]);
        Assert.Equal(1, code);
        Assert.Contains("the certificates of 'me' were revoked, this one would be refused too; choose another name", error, StringComparison.Ordinal);

        async Task AssertRefusedAsync()
        {
            (int code, string output, string error) = await EdgeStreamProgram.RunAsync(asMe);
            Assert.Equal((1, ""), (code, output));
            Assert.Contains("the client certificate was refused: those of 'me' were revoked", error, StringComparison.Ordinal);
        }
    }
}
