using System.CommandLine;
using System.Globalization;
using System.Text;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Diagnostics;
using EdgeStream.Agent.Hosting;

namespace EdgeStream.Agent.Cli;

/// <summary><c>diag</c>: a file for whoever helps, with what they ask for first and no secrets: no passwords, no keys, no records.</summary>
internal static class DiagCommand
{
    private const int JournalLines = 5000;

    private static readonly Option<string?> Out = new("--out") { Description = "The file to write (default: edgestream-diag-HOST-TIME.tar.gz here)", HelpName = "file" };

    // What the node is asked, and what a person would type for it; whether the SPUs of a cluster are asked for it.
    private static readonly (string Name, string[] Command, bool AsksSpus)[] Questions =
    [
        ("status.txt", ["status"], false),
        ("status.json", ["status", "-o", "json"], false),
        ("partitions.txt", ["partition", "list"], true),
        ("topics.txt", ["topic", "list"], false),
        ("gaps.txt", ["gaps"], true),
        ("topology.txt", ["topology"], false),
    ];

    public static Command Create()
    {
        var command = new CliCommand(
            "diag", "Gather what somebody needs who helps, without secrets and records, into a .tar.gz", "sudo edgestream diag --out /tmp/edgestream-diag.tar.gz")
        {
            Options = { LocalNode.ConfigurationFile, LocalNode.DataDirectory, Out },
        };
        command.Does(GatherAsync);
        return command;
    }

    private static async Task GatherAsync(ParseResult result, CancellationToken cancellationToken)
    {
        string path = Path.GetFullPath(result.GetValue(Out) ?? string.Create(
            CultureInfo.InvariantCulture, $"edgestream-diag-{Environment.MachineName}-{DateTimeOffset.UtcNow:yyyyMMdd'T'HHmmss'Z'}.tar.gz"));
        LocalNode node = await LocalNode.FindRunningAsync(result);
        try
        {
            using SupportArchive archive = SupportArchive.Create(path);
            await archive.AddAsync("host.txt", () => Task.FromResult(HostFacts.Summary()));
            string[] configuration = node.File is { } main ? ["--config", main] : [];
            await archive.AddAsync("check.txt", () => AskAsync(result, node, ["check", .. configuration, "--data", node.Data], cancellationToken));
            foreach ((string name, string[] question, bool asksSpus) in Questions)
            {
                await archive.AddAsync(name, () => asksSpus && IsClosedTo(result, node)
                    ? Task.FromResult(WhereToAsk(node, question))
                    : AskAsync(result, node, question, cancellationToken));
            }

            await archive.AddAsync("data.txt", () => Task.FromResult(HostFacts.Listing(node.Data)));
            await AddConfigurationAsync(archive, node, cancellationToken);
            foreach (ConfigurationFile file in LastGoodConfiguration.TryRead(node.Data) ?? [])
                await archive.AddAsync($"last-good/{Path.GetFileName(file.Path)}", () => Task.FromResult(Redaction.Redact(Encoding.UTF8.GetString(file.Contents))));

            await archive.AddAsync(
                "journal.txt", () => HostFacts.RunAsync("journalctl", "-u", "edgestream*", "-n", $"{JournalLines}", "-o", "short-iso-precise", "--no-pager"));
            await archive.AddAsync("units.txt", () => HostFacts.RunAsync("systemctl", "status", "--no-pager", "--full", "edgestream*"));
            await archive.AddAsync("kernel.txt", () => HostFacts.RunAsync("dmesg", "--level", "err,warn"));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"'{path}' cannot be written: {error.Message}; choose another with --out");
        }

        foreach (PackagedNode other in node.Others)
        {
            await result.InvocationConfiguration.Output.WriteLineAsync(
                $"this is about {LocalNode.NameOf(node.Kind)}; {LocalNode.NameOf(other.Kind)} runs here as well: 'edgestream diag --config {other.Configuration}'");
        }

        await result.InvocationConfiguration.Output.WriteLineAsync(
            $"{path}\nIt has no passwords, keys or records in it, but names of topics, hosts and files; look at it before you send it: tar -tzf FILE");
    }

    private static async Task AddConfigurationAsync(SupportArchive archive, LocalNode node, CancellationToken cancellationToken)
    {
        if (node.File is not { } main)
        {
            await archive.AddAsync("configuration.txt", () => Task.FromResult($"{node.Problem?.Message ?? "there is no configuration file"}\n"));
            return;
        }

        foreach (string file in ConfigurationFiles.Paths(main))
            await archive.AddAsync($"configuration/{Path.GetFileName(file)}", async () => Redaction.Redact(await File.ReadAllTextAsync(file, cancellationToken)));
    }

    /// <summary>Whether this command lacks the certificate that the SPUs of a cluster want to see.</summary>
    private static bool IsClosedTo(ParseResult result, LocalNode node) =>
        node.Kind is "sc" or "spu" && !ConnectionOptions.HasCertificate(result);

    private static string WhereToAsk(LocalNode node, string[] question)
    {
        string own = node.Kind == "spu" ? "What this SPU leads itself stands in status.txt. " : "";
        string command = string.Join(' ', question);
        return $"""
            Not asked: the partitions are with the SPUs of the cluster, which want to see a certificate. {own}Either
              edgestream {command} --connect https://SC:9443 --cert NAME.crt --key-file NAME.key --ca hub-ca.crt
            or run this command again with the last three options. At an SC, 'edgestream cert issue NAME --role consumer' makes the files.

            """;
    }

    /// <summary>What another command of this program prints about the node, errors included.</summary>
    private static async Task<string> AskAsync(ParseResult result, LocalNode node, string[] command, CancellationToken cancellationToken)
    {
        Option<string?>[] passedOn = [ConnectionOptions.Certificate, ConnectionOptions.Key, ConnectionOptions.Authority];
        IEnumerable<string> certificates = passedOn.SelectMany(option => result.GetValue(option) is { } given ? (string[])[option.Name, given] : []);
        using var output = new StringWriter();
        await result.RootCommandResult.Command.Parse([.. command, "--socket", node.Socket, .. certificates]).InvokeAsync(
            new InvocationConfiguration { Output = output, Error = output, EnableDefaultExceptionHandler = false }, cancellationToken);
        return output.ToString();
    }
}
