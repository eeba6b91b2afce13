using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;
using Names = EdgeStream.Cluster.Topology.Names;

namespace EdgeStream.Agent.Cli;

/// <summary><c>topic create | alter | list | delete</c> and <c>partition list</c>.</summary>
internal static class TopicCommands
{
    public static Command Topic()
    {
        var topic = new Command("topic", "Create, change, list and delete topics");
        topic.Subcommands.Add(Create());
        topic.Subcommands.Add(Alter());
        topic.Subcommands.Add(List());
        topic.Subcommands.Add(Delete());
        return topic;
    }

    public static Command Partition()
    {
        var topicName = new Option<string>("--topic") { Description = "Only those of this topic", DefaultValueFactory = _ => "" };
        var list = new CliCommand("list", "List partitions with their offsets", "edgestream partition list --topic readings")
        {
            Options = { topicName, TableOutput.Format },
        };
        list.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            string topic = result.GetValue(topicName) is { Length: > 0 } only ? Names.CheckTopic(only) : "";
            PartitionTable.Of(await client.ListPartitionsAsync(topic), TableOutput.IsJson(result)).Write(result, "There are no partitions.");
        });
        return new Command("partition", "Look at partitions") { Subcommands = { list } };
    }

    /// <summary>What has become of a change, in a line.</summary>
    internal static string DescribeChange(Topic topic) => topic.PartitionsPending == 0
        ? $"topic '{topic.Name}' changed"
        : $"topic '{topic.Name}' changed; {Plural.Of(topic.PartitionsPending, "partition")} of {topic.Partitions.Count} not at {Plural.Of(topic.Settings.Replicas, "NATS server")} yet: "
            + $"'edgestream partition list --topic {topic.Name}' shows how it goes on, and what is in its way";

    private static CliCommand Create()
    {
        var name = new Argument<string>("name") { Description = "Letters, digits, '-', '_' and '.'" };
        Option<int?> partitions = new Option<int?>("--partitions") { Description = "How many (default: 1)", HelpName = "n" }.AtLeast(1);
        Option<int?> replicas = new Option<int?>("--replicas")
        {
            Description = "At how many NATS servers each record is stored (default: storage.replicas of the hub, or 1)",
            HelpName = "n",
        }.AtLeast(1);
        var mirror = new Option<bool>("--mirror") { Description = "At an edge: copy the topic to the hub. At a hub: geo-locations fill it" };
        var down = new Option<bool>("--down") { Description = "At a hub: the topic flows down to geo-locations, a partition for each" };
        var geo = new Option<string[]>("--geo")
        {
            Description = "With --down: only to this geo-location; can be given again (default: to all)",
            HelpName = "name",
        };
        var assign = new Option<string?>("--assign")
        {
            Description = "In a cluster: a file that says which SPU leads each partition: {\"partitions\":[{\"spu\":1},{\"spu\":2}]} (default: spread evenly)",
            HelpName = "file",
        };
        var settings = new TopicSettingOptions();
        var command = new CliCommand(
            "create",
            "Create a topic",
            "edgestream topic create readings --mirror --retention-bytes 256MiB\nedgestream topic create commands --down --ttl 10m")
        {
            Arguments = { name },
            Options = { partitions, replicas, mirror, down, geo, assign },
        };
        settings.AddTo(command);
        command.Does(async (result, _) =>
        {
            AlterTopicRequest kept = settings.Read(result);
            IReadOnlyList<int> assigned = result.GetValue(assign) is { } file ? AssignmentFile.Read(file) : [];
            using var client = ConnectionOptions.Open(result);
            Topic topic = await client.CallAsync(c => c.ControlPlane.CreateTopicAsync(new CreateTopicRequest
            {
                Name = result.GetValue(name),
                Partitions = result.GetValue(partitions) ?? 0,
                GeoLocations = { result.GetValue(geo) ?? [] },
                AssignedSpus = { assigned },
                Settings = new TopicSettings
                {
                    Mirror = result.GetValue(mirror),
                    Down = result.GetValue(down),
                    TimeToLiveMs = kept.TimeToLiveMs,
                    Compression = kept.Compression,
                    RetentionBytes = kept.RetentionBytes,
                    RetentionAgeMs = kept.RetentionAgeMs,
                    Overflow = kept.Overflow,
                    SyncIntervalMs = kept.SyncIntervalMs,
                    Replicas = result.GetValue(replicas) ?? 0,
                },
            }));
            result.InvocationConfiguration.Output.WriteLine($"topic '{topic.Name}' created");
        });
        return command;
    }

    private static CliCommand Alter()
    {
        var name = new Argument<string>("name");
        Option<int?> replicas = new Option<int?>("--replicas") { Description = "At how many NATS servers each record is stored from now on", HelpName = "n" }.AtLeast(1);
        var settings = new TopicSettingOptions();
        var command = new CliCommand(
            "alter", "Change how a topic is kept; what is not named stays", "edgestream topic alter readings --retention-age 30d --sync 1s")
        {
            Arguments = { name },
            Options = { replicas },
        };
        settings.AddTo(command);
        command.Does(async (result, _) =>
        {
            AlterTopicRequest request = settings.Read(result);
            if (result.GetValue(replicas) is { } count)
                request.Replicas = count;

            if (request.CalculateSize() == 0)
                throw new CommandException("nothing to change; name for instance --retention-bytes 512MiB");

            request.Name = result.GetValue(name);
            using var client = ConnectionOptions.Open(result);
            Topic topic = await client.CallAsync(c => c.ControlPlane.AlterTopicAsync(request));
            result.InvocationConfiguration.Output.WriteLine(DescribeChange(topic));
        });
        return command;
    }

    private static CliCommand List()
    {
        var command = new CliCommand("list", "List topics", "edgestream topic list -o json") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.GetTopologyAsync();
            var table = new TableOutput(
                "topic", "partitions", "mirror", "compression", "retention_bytes", "retention_age", "overflow", "sync", "down", "ttl", "replicas");
            foreach (Topic topic in topology.Topics)
            {
                TopicSettings settings = topic.Settings;
                table.Add(
                    topic.Name, topic.Partitions.Count, settings.Mirror, settings.Compression,
                    settings.RetentionBytes > 0 ? settings.RetentionBytes : null,
                    settings.RetentionAgeMs > 0 ? Quantities.FormatTime(TimeSpan.FromMilliseconds(settings.RetentionAgeMs)) : null,
                    settings.Overflow == Overflow.Reject ? "reject" : "drop-oldest",
                    settings.SyncIntervalMs > 0 ? Quantities.FormatTime(TimeSpan.FromMilliseconds(settings.SyncIntervalMs)) : "commit",
                    settings.Down,
                    settings.TimeToLiveMs > 0 ? Quantities.FormatTime(TimeSpan.FromMilliseconds(settings.TimeToLiveMs)) : null,
                    settings.Replicas);
            }

            table.Write(result, "There are no topics yet; 'edgestream topic create NAME' makes one.");
        });
        return command;
    }

    private static CliCommand Delete()
    {
        var name = new Argument<string>("name");
        var yes = new Option<bool>("--yes") { Description = "Really delete the topic with all its records" };
        var command = new CliCommand("delete", "Delete a topic with all its records", "edgestream topic delete readings --yes")
        {
            Arguments = { name },
            Options = { yes },
        };
        command.Does(async (result, _) =>
        {
            string topic = Names.CheckTopic(result.GetValue(name));
            if (!result.GetValue(yes))
                throw new CommandException($"this deletes all records of '{topic}'; add --yes if that is meant");

            using var client = ConnectionOptions.Open(result);
            await client.CallAsync(c => c.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = topic }));
            result.InvocationConfiguration.Output.WriteLine($"topic '{result.GetValue(name)}' deleted");
        });
        return command;
    }
}
