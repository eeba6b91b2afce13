using System.CommandLine;
using EdgeStream.Agent.Checks;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using Grpc.Core;

namespace EdgeStream.Agent.Cli;

/// <summary><c>check</c>: whether an edge with this configuration can work here, without starting anything.</summary>
internal static class CheckCommand
{
    public static Command Create()
    {
        Option<string?> configuration = new("--config", "-c")
        {
            Description = $"Configuration file (default: {NodePaths.DefaultConfiguration})",
            HelpName = "file",
        };
        Option<string?> data = new("--data")
        {
            Description = $"Where all state is kept (default: as configured, $EDGESTREAM_DATA or {NodePaths.DefaultData})",
            HelpName = "dir",
        };
        Option<bool> configurationOnly = new("--config-only") { Description = "Look at the configuration, and not at this machine" };
        var command = new CliCommand(
            "check",
            "Check configuration, disk, clock, rights and whether hub and brokers can be reached; starts nothing",
            "edgestream check\nedgestream check --config edgestream.toml --config-only")
        {
            Options = { configuration, data, configurationOnly, TableOutput.Format },
        };
        command.DoesWithExitCode(async (result, cancellationToken) =>
        {
            AgentConfiguration read = ConfigurationFiles.Load(result.GetValue(configuration));
            List<Finding> findings = [Describe(read)];
            if (!result.GetValue(configurationOnly))
            {
                string directory = NodePaths.Data(result.GetValue(data), read.Data);
                string socket = NodePaths.Socket(result.GetValue(ConnectionOptions.Socket), read.Socket);
                findings.AddRange(HostChecks.Run(read, directory, socket));
                findings.AddRange(await DeviceChecks.RunAsync(read, await TryGetStatusAsync(socket), cancellationToken));
                findings.AddRange(await ReachabilityChecks.RunAsync(read, directory, cancellationToken));
            }

            var table = new TableOutput("check", "result", "message");
            foreach (Finding finding in findings)
                table.Add(finding.Subject, finding.Verdict.ToString().ToLowerInvariant(), finding.Message);

            table.Write(result, "");
            return findings.Any(finding => finding.Verdict == Verdict.Problem) ? 1 : 0;
        });
        return command;
    }

    /// <summary>How the node is that runs; null where none does.</summary>
    private static async Task<NodeStatus?> TryGetStatusAsync(string socket)
    {
        try
        {
            using var client = new EdgeStreamClient(new ClientOptions { Endpoint = "unix:" + socket });
            return await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest()));
        }
        catch (Exception error) when (error is EdgeStreamException or RpcException)
        {
            return null;
        }
    }

    private static Finding Describe(AgentConfiguration read)
    {
        int sources = read.MqttSources.Count + read.MqttBrokers.Count + read.GpioLines.Count + read.SysfsSources.Count + read.Commands.Count;
        int sinks = read.GpioSinks.Count + read.MqttSinks.Count + read.EmbeddedSinks.Count;
        return new Finding("configuration", Verdict.Ok, $"{Plural.Of(read.Topics.Count, "topic")}, {Plural.Of(sources, "source")}, {Plural.Of(sinks, "sink")}");
    }
}
