using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary><c>edgestream diag</c> says much about a node, and gives away nothing.</summary>
public sealed class DiagTests
{
    [Fact]
    public async Task Archive_has_what_helps_and_no_secret()
    {
        const string Password = "hunter2-in-the-configuration", Record = "a-record-that-is-nobody's-business";
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(
            directory.Path,
            $$"""
            [[topic]]
            name = "readings"
            [[source.mqtt]]
            broker = "mqtt://127.0.0.1:1"
            username = "me"
            password = "{{Password}}"
            subscribe = [{ filter = "a", topic = "readings" }]
            """);
        await edge.StartAsync();
        await Condition.WaitAsync("a copy of its configuration is kept", () => File.Exists(Path.Combine(edge.Data, "last-good", "configuration.tar")));
        await EdgeStreamProgram.RunAsync(["produce", "readings", "--socket", edge.Socket], Record + "\n");
        string archive = directory.At("diag.tar.gz");
        (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync(
            ["diag", "--config", directory.At("edge.toml"), "--data", edge.Data, "--socket", edge.Socket, "--out", archive]);

        Assert.Equal((0, ""), (exitCode, error));
        Assert.Contains(archive, output, StringComparison.Ordinal);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(archive));
        Dictionary<string, string> entries = Read(archive);
        Assert.Contains("health:", entries["status.txt"], StringComparison.Ordinal);
        Assert.Contains("readings", entries["partitions.txt"], StringComparison.Ordinal);
        Assert.Contains("cannot connect to mqtt://127.0.0.1:1: ", entries["check.txt"], StringComparison.Ordinal);
        Assert.Contains("topics/readings/0/00000000000000000000.log", entries["data.txt"], StringComparison.Ordinal);
        Assert.Contains("kernel:", entries["host.txt"], StringComparison.Ordinal);
        Assert.Contains("password = \"***\"", entries["last-good/edge.toml"], StringComparison.Ordinal);
        Assert.Contains("password = \"***\"", entries.Single(entry => entry.Key.StartsWith("configuration/", StringComparison.Ordinal)).Value, StringComparison.Ordinal);
        Assert.DoesNotContain(entries.Values, text => text.Contains(Password, StringComparison.Ordinal) || text.Contains(Record, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Works_where_no_node_runs_and_tells_so()
    {
        using var directory = new TemporaryDirectory();
        string archive = directory.At("diag.tar.gz");
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
            ["diag", "--config", directory.At("none.toml"), "--data", directory.At("none"), "--socket", directory.At("s"), "--out", archive]);

        Assert.Equal((0, ""), (exitCode, error));
        Dictionary<string, string> entries = Read(archive);
        Assert.StartsWith("not available: ", entries["status.txt"], StringComparison.Ordinal);
        Assert.StartsWith("not available: ", entries["data.txt"], StringComparison.Ordinal);
        Assert.StartsWith("not available: ", entries["check.txt"], StringComparison.Ordinal);

        // Nothing is overwritten.
        (exitCode, _, error) = await EdgeStreamProgram.RunAsync(["diag", "--data", directory.At("none"), "--out", archive]);
        Assert.Equal(1, exitCode);
        Assert.Contains("choose another with --out", error, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Archive_of_an_sc_has_its_configuration_and_data_and_says_where_the_rest_is_asked()
    {
        const string Password = "hunter2-of-nats";
        using var directory = new TemporaryDirectory();
        using var nats = new NatsServer(directory.Path, settings: $"authorization {{ user: me, password: {Password} }}");
        await nats.StartAsync();
        string file = directory.At("sc.toml"), archive = directory.At("sc.tar.gz");
        await File.WriteAllTextAsync(
            file, $"[storage]\nengine = \"jetstream\"\nnats = [\"{nats.Url}\"]\nuser = \"me\"\npassword = \"{Password}\"\n[cluster]\n",
            TestContext.Current.CancellationToken);
        using NodeProcess sc = NodeProcess.Controller(directory.Path, $"127.0.0.1:{FreePort.Take()}", file, "sc");
        await sc.StartAsync();
        await sc.Process.WaitForLineAsync("this SC is the active one");

        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(["diag", "--config", file, "--socket", sc.Socket, "--out", archive]);
        Assert.Equal((0, ""), (exitCode, error));
        Dictionary<string, string> entries = Read(archive);
        Assert.Contains("password = \"***\"", entries["configuration/sc.toml"], StringComparison.Ordinal);
        Assert.Contains("ca/ca.key", entries["data.txt"], StringComparison.Ordinal);
        Assert.Contains("sc (active, ", entries["status.txt"], StringComparison.Ordinal);
        Assert.StartsWith("cluster ", entries["topology.txt"], StringComparison.Ordinal);
        Assert.Contains($"answers at {nats.Url}", entries["check.txt"], StringComparison.Ordinal);
        Assert.Contains("edgestream partition list --connect https://SC:9443 --cert ", entries["partitions.txt"], StringComparison.Ordinal);
        Assert.Contains("edgestream gaps --connect https://SC:9443 --cert ", entries["gaps.txt"], StringComparison.Ordinal);
        Assert.DoesNotContain(entries.Values, text => text.Contains(Password, StringComparison.Ordinal));

        // With a certificate they are asked.
        await sc.CommandAsync("cert", "issue", "me", "--role", "consumer", "--out", directory.Path);
        archive = directory.At("more.tar.gz");
        await EdgeStreamProgram.RunGoodAsync(
            "diag", "--config", file, "--socket", sc.Socket, "--out", archive, "--cert", directory.At("me.crt"), "--key-file", directory.At("me.key"), "--ca", directory.At("hub-ca.crt"));
        Assert.Equal("There are no partitions.", Read(archive)["partitions.txt"].Trim());

        // Another's configuration is not taken for its own.
        (exitCode, _, error) = await EdgeStreamProgram.RunAsync(["check", "--socket", sc.Socket]);
        Assert.Equal((1, $"edgestream: an SC answers on {sc.Socket}, and nobody knows with which configuration; name it with --config\n"), (exitCode, error));
    }

    private static Dictionary<string, string> Read(string archive)
    {
        using var tar = new TarReader(new GZipStream(File.OpenRead(archive), CompressionMode.Decompress));
        var entries = new Dictionary<string, string>();
        while (tar.GetNextEntry() is { } entry)
        {
            using var reader = new StreamReader(entry.DataStream ?? Stream.Null, Encoding.UTF8);
            entries[entry.Name[(entry.Name.IndexOf('/') + 1)..]] = reader.ReadToEnd();
        }

        return entries;
    }
}
