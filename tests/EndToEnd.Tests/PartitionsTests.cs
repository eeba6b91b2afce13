using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary><c>produce</c> and <c>consume</c> where a topic has several partitions, and nobody names one.</summary>
public sealed class PartitionsTests
{
    [Fact(Timeout = 120_000)]
    public async Task Keys_choose_partitions_and_all_of_them_are_read()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", "orders", "--partitions", "6");
        await hub.CommandAsync("topic", "create", "single");

        // By Kafka's hash: 21 is in 0, key in 1, abc in 3.
        (_, string told) = await ProduceAsync(hub, "21:a\nkey:b\nabc:c\n21:d\n", "orders");
        Assert.Equal("4 records stored in 3 of 6 partitions", told);
        Assert.Equal(["0\t21\ta", "0\t21\td", "1\tkey\tb", "3\tabc\tc"], await LinesAsync(hub, "-B", "-d", "-k"));
        Assert.Equal(["0\td", "1\tb", "3\tc"], await LinesAsync(hub, "--offset", "-1", "-d"));
        Assert.Equal(2, (await LinesAsync(hub, "-B", "-d", "-n", "2")).Count);
        Assert.Equal([0, 0, 1, 3], (await LinesAsync(hub, "-B", "-d", "-o", "json"))
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("partition").GetInt32()));

        // One partition is as it always was.
        Assert.Equal(["21\ta", "21\td"], await LinesAsync(hub, "-p", "0", "-B", "-d", "-k"));
        Assert.Equal(["d"], await LinesAsync(hub, "-p", "0", "--offset", "1", "-d"));
        (_, told) = await ProduceAsync(hub, "21:e\n", "orders", "-p", "5");
        Assert.Equal("1 record stored, the last at offset 0", told);
        Assert.Equal(["21\te"], await LinesAsync(hub, "-p", "5", "-B", "-d", "-k"));
        (_, told) = await ProduceAsync(hub, "x:y\n", "single");
        Assert.Equal("1 record stored, the last at offset 0", told);
        Assert.Equal("y", await hub.CommandAsync("consume", "single", "-B", "-d"));
        Assert.DoesNotContain("partition", await hub.CommandAsync("consume", "single", "-B", "-d", "-o", "json"), StringComparison.Ordinal);

        (int code, string output, string error) = await EdgeStreamProgram.RunAsync(["consume", "orders", "--offset", "0", "-d", "--socket", hub.Socket]);
        Assert.Equal((1, "", "edgestream: --offset 0 is in one partition, and 'orders' has 6; say with -p in which\n"), (code, output, error));
        (code, string none) = await ProduceAsync(hub, "x\n", "none");
        Assert.Equal((1, "edgestream: there is no topic 'none'; 'edgestream topic create none' makes it"), (code, none));
    }

    private static async Task<(int ExitCode, string Error)> ProduceAsync(NodeProcess node, string lines, params string[] arguments)
    {
        (int code, _, string error) = await EdgeStreamProgram.RunAsync(["produce", .. arguments, "--key-separator", ":", "--socket", node.Socket], lines);
        return (code, error.Trim());
    }

    /// <summary>In the order of the partitions: in each they have their own.</summary>
    private static async Task<List<string>> LinesAsync(NodeProcess node, params string[] arguments) =>
        [.. (await node.CommandAsync(["consume", "orders", .. arguments])).Split('\n').OrderBy(PartitionOf)];

    private static int PartitionOf(string line) =>
        line.StartsWith('{') ? JsonDocument.Parse(line).RootElement.GetProperty("partition").GetInt32()
        : int.TryParse(line.Split('\t')[0], out int number) ? number : 0;
}
