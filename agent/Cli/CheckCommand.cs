using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;

namespace EdgeStream.Agent.Cli;

/// <summary><c>check</c>: reads the configuration as <c>run</c> would, without starting anything.</summary>
internal static class CheckCommand
{
    public static Command Create()
    {
        Option<string?> configuration = new("--config", "-c")
        {
            Description = $"Configuration file (default: {NodePaths.DefaultConfiguration})",
            HelpName = "file",
        };
        var command = new CliCommand("check", "Check the configuration without starting", "edgestream check --config edgestream.toml")
        {
            Options = { configuration },
        };
        command.Does((result, _) =>
        {
            AgentConfiguration read = ConfigurationFiles.Load(result.GetValue(configuration));
            int sources = read.MqttSources.Count + read.MqttBrokers.Count + read.GpioLines.Count;
            int sinks = read.GpioSinks.Count + read.MqttSinks.Count;
            return result.InvocationConfiguration.Output.WriteLineAsync(
                $"the configuration is good: {read.Topics.Count} topics, {sources} sources, {sinks} sinks");
        });
        return command;
    }
}
