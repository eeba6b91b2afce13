using System.CommandLine;
using EdgeStream.Agent;
using EdgeStream.Agent.Cli;
using EdgeStream.Devices;
using EdgeStream.Storage;
using Grpc.Core;

// How long a command that waits for a node has to end in order.
TimeSpan WhenToldToEnd = TimeSpan.FromSeconds(2);

var root = new RootCommand("EdgeStream: a store-and-forward streaming agent for small devices")
{
    NodeCommands.Run(),
    NodeCommands.Hub(),
    NodeCommands.Sc(),
    NodeCommands.Spu(),
    MembershipCommands.Join(),
    MembershipCommands.Leave(),
    StatusCommand.Create(),
    CheckCommand.Create(),
    DiagCommand.Create(),
    TopicCommands.Topic(),
    TopicCommands.Partition(),
    GapsCommand.Create(),
    LatestCommand.Create(),
    LogCommands.Log(),
    ProduceCommand.Create(),
    ConsumeCommand.Create(),
    ConsumerCommands.Create(),
    GeoCommands.Geo(),
    TopologyCommands.Topology(),
    CertificateCommands.Certificate(),
    CompletionsCommand.Create(),
};
foreach (Option option in ConnectionOptions.All)
    root.Options.Add(option);

// Several files bring commands of this group.
Command? log = root.Subcommands.FirstOrDefault(command => command.Name == "log");
if (log is null)
    root.Subcommands.Add(log = new Command("log", "Look into, repair, carry partition logs"));

log.Subcommands.Add(BundleCommands.Export());
log.Subcommands.Add(BundleCommands.Import());

CliCommand.AddExamplesToHelp(root);
var version = new CliCommand("version", "Print the version", "edgestream version");
version.Does((result, _) => result.InvocationConfiguration.Output.WriteLineAsync($"edgestream {BuildInfo.Version}"));
root.Subcommands.Add(version);

try
{
    ParseResult command = root.Parse(args);
    if (CliCommand.FindMistake(command) is { } mistake)
    {
        Console.Error.WriteLine($"edgestream: {mistake}");
        return 1;
    }

    bool endsByItself = command.CommandResult.Command is CliCommand { HandlesSignals: true };
    return await command.InvokeAsync(new InvocationConfiguration
    {
        EnableDefaultExceptionHandler = false,
        ProcessTerminationTimeout = endsByItself ? null : WhenToldToEnd,
    });
}
catch (Exception error) when (error is EdgeStreamException or SourceConfigurationException)
{
    Console.Error.WriteLine($"edgestream: {error.Message}");
    return 1;
}
catch (RpcException error)
{
    Console.Error.WriteLine($"edgestream: {error.Status.Detail}");
    return 1;
}
catch (OperationCanceledException)
{
    return 130;
}
