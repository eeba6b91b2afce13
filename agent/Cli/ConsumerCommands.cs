using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Client;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>consumer list | reset | delete</c>: how far consumer groups have read.</summary>
internal static class ConsumerCommands
{
    private static readonly Argument<string> Group = new("group") { Description = "The name that 'consume --group' was given" };

    public static Command Create() => new("consumer", "Consumer groups: how far each has read, and who reads") { Subcommands = { List(), Reset(), Delete() } };

    private static CliCommand List()
    {
        var command = new CliCommand("list", "List how far each consumer group has read", "edgestream consumer list -o json") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Gathered<GroupPartition> groups = await client.ListGroupsAsync();
            var table = new TableOutput("group", "topic", "partition", "geo", "next", "durable", "lag", "member");
            foreach (GroupPartition read in groups.Items)
            {
                table.Add(
                    read.Group, read.Topic, read.Partition, read.GeoLocation.Length > 0 ? read.GeoLocation : null, read.Offset, read.Durable,
                    Math.Max(0, read.Durable - read.Offset), read.Member.Length > 0 ? VisibleText.Of(read.Member) : null);
            }

            TableOutput.WriteProblems(result, groups.Problems);
            table.Write(result, "No consumer group has read anything; 'edgestream consume TOPIC --group NAME' starts one.");
        });
        return command;
    }

    private static CliCommand Reset()
    {
        var topic = new Argument<string>("topic");
        Option<int?> partition = new Option<int?>("--partition", "-p") { Description = "Only this partition (default: all)" }.AtLeast(0);
        var beginning = new Option<bool>("--beginning", "-B") { Description = "To the first record held" };
        var end = new Option<bool>("--end") { Description = "To what comes from now on" };
        Option<long?> offset = new Option<long?>("--offset")
        {
            Description = "To this offset; takes --partition where the topic has several",
            HelpName = "n",
        }.OfNumber();
        var since = new Option<string?>("--since") { Description = "To what is from so long ago, for instance 1h", HelpName = "time" };
        var command = new CliCommand(
            "reset", "Set where a consumer group goes on; it must not be reading", "edgestream consumer reset billing readings --since 1h")
        {
            Arguments = { Group, topic },
            Options = { partition, beginning, end, offset, since },
        };
        command.Does(async (result, _) =>
        {
            var request = new ResetGroupRequest { Group = Names.CheckGroup(result.GetValue(Group)), Topic = Names.CheckTopic(result.GetValue(topic)) };
            if (result.GetValue(partition) is { } number)
                request.Partition = number;

            (bool Given, Action Set)[] targets =
            [
                (result.GetValue(beginning), () => request.Beginning = true),
                (result.GetValue(end), () => request.End = true),
                (result.GetValue(offset) is not null, () => request.Offset = result.GetValue(offset)!.Value),
                (result.GetValue(since) is not null, () => request.Time = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - MillisecondsOf(result.GetValue(since)!)),
            ];
            if (targets.Count(target => target.Given) != 1)
                throw new CommandException("say where the group is to go on: one of --beginning, --end, --offset and --since");

            targets.Single(target => target.Given).Set();
            using var client = ConnectionOptions.Open(result);
            await client.ResetGroupAsync(request);
        });
        return command;
    }

    private static CliCommand Delete()
    {
        var topic = new Argument<string>("topic") { Description = "Only of this topic", Arity = ArgumentArity.ZeroOrOne, DefaultValueFactory = _ => "" };
        var command = new CliCommand("delete", "Forget how far a consumer group has read; it must not be reading", "edgestream consumer delete billing")
        {
            Arguments = { Group, topic },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            await client.DeleteGroupAsync(Names.CheckGroup(result.GetValue(Group)), result.GetValue(topic) ?? "");
        });
        return command;
    }

    private static long MillisecondsOf(string text) => Quantities.TryParseTime(text, out TimeSpan time)
        ? (long)time.TotalMilliseconds
        : throw new CommandException($"'{text}' is no time; write for instance 30s, 10m or 7d");
}
