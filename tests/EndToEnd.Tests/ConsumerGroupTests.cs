using System.Globalization;
using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Programs that read a topic together, and are killed, as is the node that they read from.</summary>
public sealed class ConsumerGroupTests
{
    private const int Partitions = 4;
    private const int PerPartition = 20_000;

    [Fact(Timeout = 300_000)]
    public async Task Killed_members_and_a_killed_hub_leave_no_record_unread()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", "orders", "--partitions", $"{Partitions}");
        string records = directory.At("records");
        await File.WriteAllLinesAsync(
            records, Enumerable.Range(0, PerPartition).Select(i => i.ToString(CultureInfo.InvariantCulture)), TestContext.Current.CancellationToken);

        var chaos = new Chaos(Chaos.NewSeed());
        var members = new List<ChildProcess>();
        var outputs = new List<string>();
        StartMember();
        StartMember();
        StartMember();
        for (int partition = 0; partition < Partitions; partition++)
        {
            await hub.CommandAsync("produce", "orders", "-p", $"{partition}", "--file", records);
            switch (partition)
            {
                case 0:
                    members[0].Kill();
                    StartMember();
                    break;
                case 1:
                    await chaos.KillAndRestartAsync(hub);
                    break;
                case 2:
                    Assert.Equal(0, await members[1].StopAsync());
                    break;
                case 3:
                    members[2].Kill();
                    await chaos.KillAndRestartAsync(hub);
                    StartMember();
                    break;
            }
        }

        List<JsonElement> shares = [];
        await Condition.WaitAsync(
            () => $"""
                all is read and committed; the group: {string.Join(' ', shares)}
                {string.Join('\n', members.Select((member, i) => $"member {i}{(member.HasExited ? ", which has exited," : "")} printed: {member.Output}"))}
                """,
            async () => (shares = await SharesAsync(hub)) is { Count: Partitions } && shares.All(share => share.GetProperty("lag").GetInt64() == 0));
        foreach (ChildProcess member in members.Where(member => !member.HasExited))
            Assert.Equal(0, await member.StopAsync());

        Assert.All(await SharesAsync(hub), share => Assert.Equal(JsonValueKind.Null, share.GetProperty("member").ValueKind));
        (int Partition, long Offset)[] read = [.. outputs.SelectMany(File.ReadLines).Select(Parse).OfType<(int, long)>()];
        Console.WriteLine($"{read.Length} records read, {read.Length - (Partitions * PerPartition)} of them again");
        Assert.Equal(
            Enumerable.Range(0, Partitions).SelectMany(partition => Enumerable.Range(0, PerPartition).Select(offset => (partition, (long)offset))),
            read.Distinct().Order());

        void StartMember()
        {
            // Into a file: what it printed before it was killed is there as a whole.
            string output = directory.At($"member-{members.Count}");
            outputs.Add(output);
            members.Add(ChildProcess.Start($"member-{members.Count}", "sh",
                ["-c", $"exec {EdgeStreamProgram.Path} consume orders --group billing -B -o json --socket {hub.Socket} >{output}"]));
        }
    }

    private static async Task<List<JsonElement>> SharesAsync(NodeProcess hub)
    {
        using JsonDocument list = JsonDocument.Parse(await hub.CommandAsync("consumer", "list", "-o", "json"));
        return [.. list.RootElement.EnumerateArray().Select(share => share.Clone())];
    }

    /// <summary>Null for the line that a kill has cut.</summary>
    private static (int Partition, long Offset)? Parse(string line)
    {
        try
        {
            using JsonDocument record = JsonDocument.Parse(line);
            return (record.RootElement.GetProperty("partition").GetInt32(), record.RootElement.GetProperty("offset").GetInt64());
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
