using System.Net;
using System.Net.Sockets;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What a person or a machine gets wrong at the edges of the program: one clear line, a code that is not zero, nothing lost.</summary>
public sealed class BadInputTests
{
    [Theory]
    [InlineData("bugdet = 1", "edge.toml:1: bugdet: there is no such key")]
    [InlineData("[[topic]]\nname = \"a/../b\"", "edge.toml:2: topic.name: 'a/../b' cannot be a topic name")]
    [InlineData("[[topic]]\nname = \"a\"\nmirror = \"yes\"", "edge.toml:3: topic.mirror: must be true or false")]
    [InlineData("[[topic]]\nname = ", "edge.toml:2: ")]
    [InlineData("[[source.gpio]]\nline = 17\ntopic = \"door\"\ndebounce = \"5\"", "edge.toml:4: source.gpio.debounce: '5' is no time")]
    [InlineData("[[source.mqtt]]\nbroker = \"http://x\"", "edge.toml:2: source.mqtt.broker: 'http://x' is no broker")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://x\"\nsubscribe = [{ filter = \"a/#/b\", topic = \"t\" }]", "edge.toml:3: source.mqtt.subscribe.filter")]
    public async Task Wrong_configuration_names_file_line_and_key(string configuration, string expected)
    {
        using var directory = new TemporaryDirectory();
        string file = directory.At("edge.toml");
        await File.WriteAllTextAsync(file, configuration, TestContext.Current.CancellationToken);

        foreach (string[] arguments in (string[][])[["check", "-c", file], ["run", "-c", file, "--data", directory.At("data"), "--socket", directory.At("s")]])
        {
            (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(arguments);

            Assert.NotEqual(0, exitCode);
            Assert.Contains(expected, error, StringComparison.Ordinal);
            Assert.Single(error.Trim().Split('\n'));
        }
    }

    [Fact]
    public async Task Second_node_on_a_data_directory_is_refused()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await edge.StartAsync();

        await RefusesAsync("is in use by another process", "run", "--data", edge.Data, "--socket", directory.At("other.sock"));
        await edge.CommandAsync("status");
    }

    [Fact]
    public async Task Data_directory_that_cannot_be_written_is_refused()
    {
        using var directory = new TemporaryDirectory();
        string file = directory.At("file");
        await File.WriteAllTextAsync(file, "", TestContext.Current.CancellationToken);

        await RefusesAsync("cannot be written", "run", "--data", Path.Combine(file, "data"), "--socket", directory.At("s"));
        await RefusesAsync("cannot be written", "run", "--data", "/proc/edgestream", "--socket", directory.At("s"));
    }

    [Fact]
    public async Task Port_in_use_is_refused()
    {
        using var directory = new TemporaryDirectory();
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();

        await RefusesAsync($"{taken.LocalEndpoint} is in use", "hub", "--listen", $"{taken.LocalEndpoint}", "--data", directory.At("hub"), "--socket", directory.At("s"));
    }

    [Fact]
    public async Task Socket_where_nobody_answers_says_how_to_start_a_node()
    {
        using var directory = new TemporaryDirectory();
        await RefusesAsync("is edgestream running there?", "status", "--socket", directory.At("nobody.sock"));
    }

    [Fact]
    public async Task Token_works_once_for_one_hub_and_until_it_expires()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take(), otherPort = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess other = NodeProcess.Hub(directory.Path, $"127.0.0.1:{otherPort}", "other");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        using NodeProcess second = NodeProcess.Edge(directory.Path, Sites.Plain, "second");
        await Task.WhenAll(hub.StartAsync(), other.StartAsync(), edge.StartAsync(), second.StartAsync());
        string token = await hub.CommandAsync("geo", "invite", "site-1");
        string shortLived = await hub.CommandAsync("geo", "invite", "site-2", "--valid-for", "1s");

        await JoinRefusesAsync(edge, otherPort, token, "the token is for another hub");
        await JoinRefusesAsync(edge, port, token[..^4], "it is not complete");
        await JoinRefusesAsync(edge, FreePort.Take(), token, "cannot be reached");
        await edge.CommandAsync("join", $"127.0.0.1:{port}", "--token", token);
        await JoinRefusesAsync(second, port, token, "works once");
        await Condition.WaitAsync(
            () => "the short-lived token is refused",
            async () => (await TryJoinAsync(second, port, shortLived)).Error.Contains("the token expired", StringComparison.Ordinal));
        Assert.Contains("joined no hub", (await EdgeStreamProgram.RunAsync(["leave", "--socket", second.Socket])).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Topic_names_that_are_paths_are_refused_over_the_api()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await edge.StartAsync();

        foreach (string name in (string[])["../../etc", "a/../b", ".", "..", "-x y", ""])
            await RefusesAsync("", "topic", "create", "--socket", edge.Socket, "--", name);

        Assert.Equal([Sites.Topic], Directory.GetDirectories(Path.Combine(edge.Data, "topics")).Select(Path.GetFileName));
    }

    private static async Task RefusesAsync(string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(arguments);
        Assert.NotEqual(0, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal);
    }

    private static async Task JoinRefusesAsync(NodeProcess edge, int port, string token, string expected)
    {
        (int exitCode, string error) = await TryJoinAsync(edge, port, token);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }

    private static async Task<(int ExitCode, string Error)> TryJoinAsync(NodeProcess edge, int port, string token)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
            ["join", $"127.0.0.1:{port}", "--token", token, "--socket", edge.Socket]);
        return (exitCode, error);
    }
}
