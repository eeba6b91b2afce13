using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What is wrong with a command line is one line, behind which no help hides it.</summary>
public sealed class CommandLineTests
{
    [Theory]
    [InlineData("--partitions is a number of at least 1, not 'x'; 'edgestream topic create --help' shows how it goes", "topic", "create", "t", "--partitions", "x")]
    [InlineData("--partitions is a number of at least 1, not '0'", "topic", "create", "t", "--partitions", "0")]
    [InlineData("--replicas is a number of at least 1, not '0'", "topic", "create", "t", "--replicas", "0")]
    [InlineData("--replicas is a number of at least 1, not '0'", "topic", "alter", "t", "--replicas", "0")]
    [InlineData("--partition is a number of at least 0, not '-1'", "produce", "t", "-p", "-1")]
    [InlineData("--offset is a number, not '1.5'", "consume", "t", "--offset", "1.5")]
    [InlineData("id is a number of at least 0, not 'two'", "spu", "certificate", "two", "--out", "d")]
    [InlineData("Must be one of: 'text' 'json'", "consume", "t", "-o", "xml")]
    [InlineData("Unrecognized command or argument '--bogus'; 'edgestream consume --help'", "consume", "t", "--bogus")]
    [InlineData("Required argument 'name' missing", "topic", "create")]
    public async Task Mistake_is_told_in_one_line(string expected, params string[] arguments)
    {
        (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync(arguments);

        Assert.Equal((1, ""), (exitCode, output));
        Assert.StartsWith("edgestream: ", error, StringComparison.Ordinal);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }

    [Fact]
    public async Task Who_has_no_command_yet_gets_their_list()
    {
        (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync(["topic"]);
        Assert.Equal(1, exitCode);
        Assert.Contains("Create a topic", output + error, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Whoever_may_not_do_something_is_told_who_may()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        await hub.StartAsync();
        await hub.CommandAsync("cert", "issue", "me", "--role", "consumer", "--out", directory.Path);
        string[] connect =
        [
            "--connect", $"https://127.0.0.1:{port}", "--cert", directory.At("me.crt"), "--key-file", directory.At("me.key"), "--ca", directory.At("hub-ca.crt"),
        ];

        (_, _, string error) = await EdgeStreamProgram.RunAsync(["status", .. connect]);
        Assert.Equal("edgestream: 'me' (consumer) may not call GetStatus; that is for the local socket, on the node's machine\n", error);
        (_, _, error) = await EdgeStreamProgram.RunAsync(["topic", "create", "t", .. connect]);
        Assert.Equal("edgestream: 'me' (consumer) may not call CreateTopic; that is for a certificate with the role admin\n", error);
        (_, _, error) = await EdgeStreamProgram.RunAsync(["produce", "t", .. connect]);
        Assert.Contains("there is no topic 't'", error, StringComparison.Ordinal);
        await hub.CommandAsync("topic", "create", "t");
        (_, _, error) = await EdgeStreamProgram.RunAsync(["produce", "t", .. connect], "a\n");
        Assert.Contains("'me' (consumer) may not call Produce; that is for a certificate with the role producer or admin", error, StringComparison.Ordinal);
    }
}
