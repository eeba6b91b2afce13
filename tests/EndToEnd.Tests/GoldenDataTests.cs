using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json;
using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>
/// Data directories of an edge and a hub as programs of earlier commits have left them (<c>tests/golden/make-data.sh</c>): what an
/// upgrade finds. Where a format has changed, this is what notices.
/// </summary>
public sealed class GoldenDataTests
{
    private const string Geo = "berlin-7";

    private static readonly string Golden = Path.Combine(FindRepository(AppContext.BaseDirectory), "tests", "golden", "data");

    public static TheoryData<string> Commits => [.. Directory.GetDirectories(Golden).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    [Theory(Timeout = 300_000)]
    [MemberData(nameof(Commits))]
    public async Task Data_of_an_earlier_program_are_served_the_same_and_gone_on_with(string commit)
    {
        using var directory = new TemporaryDirectory();
        await UnpackAsync(commit, "edge", directory.Path);
        await UnpackAsync(commit, "hub", directory.Path);
        string address = await MoveHubAsync(directory);
        using NodeProcess edge = NodeProcess.Edge(directory.Path, await ReadAsync(commit, "edge.toml"));
        using NodeProcess hub = NodeProcess.Hub(directory.Path, address);

        // What the earlier program served, to the record; settings and what is lost as well.
        await edge.StartAsync();
        foreach (string topic in (string[])["readings", "packed", "commands"])
        {
            // The edge has not heard the hub's time yet: to it, each command may have expired.
            string served = await edge.CommandAsync("consume", topic, "--expired", "-B", "-d", "-o", "json");
            Assert.Equal(Entries(await ReadAsync(commit, $"{topic}.json")), Entries(served));
        }

        Assert.Equal(Entries(await ReadAsync(commit, "local.json")), Entries(await edge.CommandAsync("consume", "local", "--partition", "1", "-B", "-d", "-o", "json")));
        Assert.Equal(Gaps(await ReadAsync(commit, "gaps.json")), Gaps(await edge.CommandAsync("gaps", "-o", "json")));
        await GroupsAreWhereTheyWereAsync(commit, edge);

        // Still the geo-location that it was: its backlog goes up by itself, behind what the hub has.
        await hub.StartAsync();
        await GroupsAreWhereTheyWereAsync(commit, hub);
        using EdgeStreamClient edgeClient = edge.Connect(), hubClient = hub.Connect();
        await AreSameAsync(edgeClient, hubClient);
        using JsonDocument locations = JsonDocument.Parse(await hub.CommandAsync("geo", "list", "-o", "json"));
        Assert.Equal([Geo, "oslo-2"], locations.RootElement.EnumerateArray().Select(geo => geo.EnumerateObject().First().Value.GetString()).Order());

        // On at the next offset, also where the last ones are a gap or were packed.
        foreach (string topic in (string[])["readings", "packed"])
        {
            long next = Entries(await ReadAsync(commit, $"{topic}.json"))[^1].Last + 1;
            await using Producer producer = await edgeClient.ProduceAsync(topic);
            Assert.Equal(next, await await producer.SendAsync(new Record(0, 0, null, "of today"u8.ToArray(), [])));
        }

        await AreSameAsync(edgeClient, hubClient);
        Assert.Contains("of today", await hub.CommandAsync("consume", "packed", "--geo", Geo, "-B", "-d"), StringComparison.Ordinal);

        // The sink acts on what is new, and on nothing again.
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(["produce", "commands", "--geo", Geo, "--socket", hub.Socket], "off\n");
        Assert.True(exitCode == 0, error);
        long command = Entries(await ReadAsync(commit, "commands.json"))[^1].Last + 1;
        await edge.Process.WaitForLineAsync($@"simulated/5 is off \(commands, offset {command}\)");
        Assert.Single(edge.Process.Output.Split('\n'), line => line.Contains("(commands, offset ", StringComparison.Ordinal));

        await edge.Process.StopAsync();
        await hub.Process.StopAsync();
        await EdgeStreamProgram.RunGoodAsync("log", "verify", "--data", edge.Data);
        await EdgeStreamProgram.RunGoodAsync("log", "verify", "--data", hub.Data);
    }

    /// <summary>A record, or a gap, of which the value is the reason.</summary>
    private sealed record Entry(long First, long Last, long? Timestamp, string? Key, string? Value);

    /// <summary>What <c>consume -o json</c> has printed. What it prints besides may change.</summary>
    private static List<Entry> Entries(string lines) => [.. lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
    {
        JsonElement entry = JsonDocument.Parse(line).RootElement;
        return entry.TryGetProperty("gap", out JsonElement gap)
            ? new Entry(gap.GetProperty("first").GetInt64(), gap.GetProperty("last").GetInt64(), null, null, gap.GetProperty("reason").GetString())
            : new Entry(
                entry.GetProperty("offset").GetInt64(), entry.GetProperty("offset").GetInt64(), entry.GetProperty("timestamp").GetInt64(),
                entry.GetProperty("key").GetString(), entry.GetProperty("value").GetString());
    })];

    /// <summary>What <c>gaps -o json</c> has printed.</summary>
    private static List<(string?, long, long, string?)> Gaps(string json) => [.. JsonDocument.Parse(json).RootElement.EnumerateArray().Select(gap => (
        gap.GetProperty("topic").GetString(), gap.GetProperty("first").GetInt64(), gap.GetProperty("last").GetInt64(), gap.GetProperty("reason").GetString()))];

    private static async Task AreSameAsync(EdgeStreamClient edge, EdgeStreamClient hub)
    {
        foreach (string topic in (string[])["readings", "packed"])
        {
            await Sites.WaitUntilMirroredAsync(edge, hub, topic: topic);
            MirrorAudit audit = await MirrorAudit.RunAsync(edge, hub, topic, hubPartition: 0);
            Assert.Null(audit.Difference);
        }
    }

    /// <summary>Where the earlier program had groups.</summary>
    private static async Task GroupsAreWhereTheyWereAsync(string commit, NodeProcess node)
    {
        string file = $"groups-{node.Name}.json";
        if (File.Exists(Path.Combine(Golden, commit, file)))
            Assert.Equal(Positions(await ReadAsync(commit, file)), Positions(await node.CommandAsync("consumer", "list", "-o", "json")));

        static List<(string?, string?, long)> Positions(string json) => [.. JsonDocument.Parse(json).RootElement.EnumerateArray().Select(group => (
            group.GetProperty("group").GetString(), group.GetProperty("topic").GetString(), group.GetProperty("next").GetInt64()))];
    }

    private static Task<string> ReadAsync(string commit, string file) => File.ReadAllTextAsync(Path.Combine(Golden, commit, file));

    private static async Task UnpackAsync(string commit, string node, string directory)
    {
        await using FileStream file = File.OpenRead(Path.Combine(Golden, commit, $"{node}.tar.gz"));
        await using var unpacked = new GZipStream(file, CompressionMode.Decompress);
        await TarFile.ExtractToDirectoryAsync(unpacked, directory, overwriteFiles: false);
    }

    /// <summary>The hub's old port may be in use here; as if its name led elsewhere now.</summary>
    private static async Task<string> MoveHubAsync(TemporaryDirectory directory)
    {
        string address = $"127.0.0.1:{FreePort.Take()}";
        string identity = Assert.Single(Directory.GetDirectories(directory.At("edge/identity")));
        await File.WriteAllTextAsync(Path.Combine(identity, "hub"), address + "\n");
        return address;
    }

    private static string FindRepository(string directory) => File.Exists(Path.Combine(directory, "EdgeStream.sln"))
        ? directory
        : FindRepository(Path.GetDirectoryName(directory) ?? throw new InvalidOperationException("the tests lie outside the source tree"));
}
