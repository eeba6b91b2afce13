using System.CommandLine;
using System.Net;
using EdgeStream.Agent.Checks;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting.DataCenter;

namespace EdgeStream.Agent.Cli;

/// <summary><c>check</c>: whether a node with this configuration can work here, without starting anything.</summary>
internal static class CheckCommand
{
    public static Command Create()
    {
        Option<bool> configurationOnly = new("--config-only") { Description = "Look at the configuration, and not at this machine" };
        var command = new CliCommand(
            "check",
            "Check configuration, disk, clock, rights and whether hub and brokers, or NATS and the cluster, can be reached; starts nothing",
            "edgestream check\nedgestream check --config edgestream.toml --config-only\nedgestream check --config /etc/edgestream/spu.toml")
        {
            Options = { LocalNode.ConfigurationFile, LocalNode.DataDirectory, configurationOnly, TableOutput.Format },
        };
        command.DoesWithExitCode(async (result, cancellationToken) =>
        {
            bool isWhole = !result.GetValue(configurationOnly);
            LocalNode node = isWhole ? await LocalNode.FindRunningAsync(result) : LocalNode.Find(result);
            AgentConfiguration read = node.Configuration ?? throw node.Problem!;
            List<Finding> findings =
            [
                Describe(read, node.Kind),
                .. node.Others.Select(other => new Finding(
                    "here too", Verdict.Ok, $"{LocalNode.NameOf(other.Kind)} runs here as well: 'edgestream check --config {other.Configuration}'")),
            ];
            if (isWhole)
            {
                bool isEdge = node.Kind == "edge";
                findings.AddRange(HostChecks.Run(
                    read, node.Data, node.Socket, node.Stranger is { } stranger ? LocalNode.NameOf(stranger.Role) : null, NetworkOf(node)));
                findings.AddRange(await DeviceChecks.RunAsync(read, node.Running, cancellationToken));
                findings.AddRange(await ReachabilityChecks.RunAsync(read, node.Data, isEdge, cancellationToken));
                if (!isEdge)
                    findings.AddRange(await ClusterChecks.RunAsync(node.Kind, read, node.Data, node.Running is not null, cancellationToken));
            }

            var table = new TableOutput("check", "result", "message");
            foreach (Finding finding in findings)
                table.Add(finding.Subject, finding.Verdict.ToString().ToLowerInvariant(), finding.Message);

            table.Write(result, "");
            return findings.Any(finding => finding.Verdict == Verdict.Problem) ? 1 : 0;
        });
        return command;
    }

    /// <summary>Where the network API listens, as far as that is known: the rest is on the command line of the node.</summary>
    private static IPEndPoint? NetworkOf(LocalNode node) =>
        node.Package?.Port is { } port ? new IPEndPoint(IPAddress.Any, port)
        : node.Configuration?.Cluster?.Advertise is { } advertised ? new IPEndPoint(IPAddress.Any, new Uri(advertised).Port)
        : null;

    private static Finding Describe(AgentConfiguration read, string kind)
    {
        if (kind != "edge")
        {
            if (read.IsForEdge)
                return new Finding("configuration", Verdict.Problem, AgentConfiguration.IsForEdgeProblem);

            string engine = read.JetStream is { } nats ? $" on NATS JetStream, {Plural.Of(nats.Servers.Count, "server")}" : "";
            string cluster = kind == "hub" ? "" : $", cluster '{(read.Cluster ?? new ClusterOptions()).Name}'";
            return new Finding("configuration", Verdict.Ok, $"{LocalNode.NameOf(kind)}{engine}{cluster}");
        }

        int sources = read.MqttSources.Count + read.MqttBrokers.Count + read.GpioLines.Count + read.SysfsSources.Count + read.Commands.Count;
        int sinks = read.GpioSinks.Count + read.MqttSinks.Count + read.EmbeddedSinks.Count;
        return new Finding("configuration", Verdict.Ok, $"{Plural.Of(read.Topics.Count, "topic")}, {Plural.Of(sources, "source")}, {Plural.Of(sinks, "sink")}");
    }
}
