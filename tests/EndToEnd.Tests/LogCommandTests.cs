using System.Globalization;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary><c>log dump | verify | repair</c> with the real program on a real data directory.</summary>
public sealed class LogCommandTests
{
    private static readonly string[] Lines = ["kitchen:21.5", "cellar:9.0", "attic:\u001b[2Jred", "kitchen:22.0"];

    [Fact(Timeout = 300_000)]
    public async Task Damage_is_shown_named_repaired_and_listed_as_a_gap()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await edge.StartAsync();
        foreach (string line in Lines)
            await ProduceAsync(edge, line);

        // While the node runs, dump and verify only look, and repair does not even that.
        Assert.Equal(Lines.Length, (await DumpAsync(edge)).Length);
        await RunGoodAsync("log", "verify", "--data", edge.Data);
        await RefusesAsync("is in use by another process", "log", "repair", "--data", edge.Data);
        await edge.Process.StopAsync();

        string[] records = await DumpAsync(edge);
        Assert.Equal(Lines.Length, records.Length);
        Assert.StartsWith("0\t20", records[0], StringComparison.Ordinal);
        Assert.EndsWith("\tkitchen\t21.5", records[0], StringComparison.Ordinal);
        Assert.EndsWith("\tattic\t\\x1b[2Jred", records[2], StringComparison.Ordinal);
        Assert.Equal([records[2]], await DumpAsync(edge, "--offset", "2", "-n", "1"));
        Assert.Contains("\"value\":\"9.0\"", (await DumpAsync(edge, "-o", "json"))[1], StringComparison.Ordinal);

        string[] batches = await DumpAsync(edge, "--batches");
        Assert.StartsWith("FIRST", batches[0].TrimStart(), StringComparison.Ordinal);
        long position = long.Parse(batches[2].Split(' ', StringSplitOptions.RemoveEmptyEntries)[^1], CultureInfo.InvariantCulture);

        string path = Assert.Single(Directory.GetFiles(Path.Combine(edge.Data, "topics", Sites.Topic, "0"), "*.log"));
        Flip(path, position + 65);
        (int exitCode, string output, string error) = await EdgeStreamProgram.RunAsync(["log", "verify", "--data", edge.Data]);
        Assert.Equal(1, exitCode);
        Assert.Contains($"{path}: byte {position}: offset 1: the checksum of the batch is wrong", output, StringComparison.Ordinal);
        Assert.Contains("1 problem found", error, StringComparison.Ordinal);
        Assert.Contains("bad", (await DumpAsync(edge, "--batches"))[2], StringComparison.Ordinal);
        Assert.Equal(3, (await DumpAsync(edge, path)).Length);

        string repaired = await RunGoodAsync("log", "repair", "--data", edge.Data);
        Assert.Contains("readings/0: offsets 1 to 1 are lost (1 record", repaired, StringComparison.Ordinal);
        string kept = Assert.Single(Directory.GetFiles(Path.Combine(edge.Data, "topics", Sites.Topic, "0", "quarantine")));
        Assert.Contains(kept, repaired, StringComparison.Ordinal);
        await RunGoodAsync("log", "verify", "--data", edge.Data, Sites.Topic);
        Assert.Equal("nothing to repair", await RunGoodAsync("log", "repair", "--data", edge.Data));

        await edge.StartAsync();
        string gaps = await edge.CommandAsync("gaps", Sites.Topic, "-o", "json");
        Assert.Contains("\"first\": 1", gaps, StringComparison.Ordinal);
        Assert.Contains("damage", gaps, StringComparison.OrdinalIgnoreCase);
        await ProduceAsync(edge, "roof:1.0");
        await RunGoodAsync("log", "verify", "--data", edge.Data);
        Assert.Equal(["0", "2", "3", "4"], (await DumpAsync(edge)).Select(record => record.Split('\t')[0]));
    }

    [Fact(Timeout = 300_000)]
    public async Task Bad_input_gets_one_line_that_says_what_is_wrong()
    {
        using var directory = new TemporaryDirectory();
        string nowhere = directory.At("nowhere"), empty = directory.At("empty"), data = directory.At("data");
        Directory.CreateDirectory(empty);
        Directory.CreateDirectory(Path.Combine(data, "topics", "readings", "0"));
        string noSegment = directory.At("text.log");
        await File.WriteAllTextAsync(noSegment, "these are no record batches, though there are more bytes than a header has");

        foreach (string[] command in (string[][])[["dump", "readings"], ["verify"], ["repair"]])
        {
            await RefusesAsync($"there is no directory '{nowhere}'", ["log", .. command, "--data", nowhere]);
            await RefusesAsync("is not a data directory", ["log", .. command, "--data", empty]);
        }

        foreach (string command in (string[])["dump", "verify", "repair"])
            await RefusesAsync("there is no topic 'doors' in", "log", command, "doors", "--data", data);

        await RefusesAsync("there is no file", "log", "dump", directory.At("none.log"));
        await RefusesAsync("is a directory", "log", "dump", Directory.CreateDirectory(directory.At("folder.log")).FullName);
        await RefusesAsync("does not start with a record batch", "log", "dump", noSegment);
        await RefusesAsync("has no partition 3", "log", "dump", "readings", "--partition", "3", "--data", data);
        Assert.False(Directory.Exists(nowhere));
        Assert.Empty(Directory.GetFileSystemEntries(empty));
    }

    [Fact(Timeout = 300_000)]
    public async Task Each_command_has_an_example_in_its_help()
    {
        foreach (string command in (string[])["dump", "verify", "repair"])
            Assert.Contains($"edgestream log {command} ", await RunGoodAsync("log", command, "--help"), StringComparison.Ordinal);
    }

    private static async Task ProduceAsync(NodeProcess edge, string line)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
            ["produce", Sites.Topic, "--key-separator", ":", "--socket", edge.Socket], line + "\n");
        Assert.True(exitCode == 0, error);
    }

    /// <summary>The lines that it prints; an argument that is a path takes the place of the topic.</summary>
    private static async Task<string[]> DumpAsync(NodeProcess edge, params string[] arguments)
    {
        string[] what = arguments is [var path, ..] && path.EndsWith(".log", StringComparison.Ordinal) ? [] : [Sites.Topic, "--data", edge.Data];
        string output = await RunGoodAsync(["log", "dump", .. what, .. arguments]);
        return output.Split('\n');
    }

    private static void Flip(string path, long position)
    {
        using FileStream file = File.Open(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = position;
        int value = file.ReadByte();
        file.Position = position;
        file.WriteByte((byte)(value ^ 1));
    }

    private static Task<string> RunGoodAsync(params string[] arguments) => EdgeStreamProgram.RunGoodAsync(arguments);

    private static async Task RefusesAsync(string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(arguments);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }
}
