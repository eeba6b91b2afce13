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

    private static readonly Option<string?> Configuration = new("--config", "-c")
    {
        Description = $"Configuration file (default: {NodePaths.DefaultConfiguration})",
        HelpName = "file",
    };

    private static readonly Option<string?> Data = new("--data")
    {
        Description = $"Where all state is kept (default: as configured, $EDGESTREAM_DATA or {NodePaths.DefaultData})",
        HelpName = "dir",
    };

    private static readonly Option<string?> Out = new("--out") { Description = "The file to write (default: edgestream-diag-HOST-TIME.tar.gz here)", HelpName = "file" };

    // What the node is asked, and what a person would type for it.
    private static readonly (string Name, string[] Command)[] Questions =
    [
        ("status.txt", ["status"]),
        ("status.json", ["status", "-o", "json"]),
        ("partitions.txt", ["partition", "list"]),
        ("topics.txt", ["topic", "list"]),
        ("gaps.txt", ["gaps"]),
        ("topology.txt", ["topology"]),
    ];

    public static Command Create()
    {
        var command = new CliCommand(
            "diag", "Gather what somebody needs who helps, without secrets and records, into a .tar.gz", "sudo edgestream diag --out /tmp/edgestream-diag.tar.gz")
        {
            Options = { Configuration, Data, Out },
        };
        command.Does(GatherAsync);
        return command;
    }

    private static async Task GatherAsync(ParseResult result, CancellationToken cancellationToken)
    {
        string path = Path.GetFullPath(result.GetValue(Out) ?? string.Create(
            CultureInfo.InvariantCulture, $"edgestream-diag-{Environment.MachineName}-{DateTimeOffset.UtcNow:yyyyMMdd'T'HHmmss'Z'}.tar.gz"));
        string main = result.GetValue(Configuration) ?? NodePaths.DefaultConfiguration;
        string data = StartConfiguration.DataDirectories(main, result.GetValue(Data))[0];
        try
        {
            using SupportArchive archive = SupportArchive.Create(path);
            await archive.AddAsync("host.txt", () => Task.FromResult(HostFacts.Summary()));
            await archive.AddAsync("check.txt", () => AskAsync(result, ["check", "--config", main, "--data", data], cancellationToken));
            foreach ((string name, string[] question) in Questions)
                await archive.AddAsync(name, () => AskAsync(result, question, cancellationToken));

            await archive.AddAsync("data.txt", () => Task.FromResult(HostFacts.Listing(data)));
            foreach (string file in ConfigurationFiles.Paths(main))
                await archive.AddAsync($"configuration/{Path.GetFileName(file)}", async () => Redaction.Redact(await File.ReadAllTextAsync(file, cancellationToken)));

            foreach (ConfigurationFile file in LastGoodConfiguration.TryRead(data) ?? [])
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

        await result.InvocationConfiguration.Output.WriteLineAsync(
            $"{path}\nIt has no passwords, keys or records in it, but names of topics, hosts and files; look at it before you send it: tar -tzf FILE");
    }

    /// <summary>What another command of this program prints, errors included.</summary>
    private static async Task<string> AskAsync(ParseResult result, string[] command, CancellationToken cancellationToken)
    {
        string[] socket = result.GetValue(ConnectionOptions.Socket) is { } given ? ["--socket", given] : [];
        using var output = new StringWriter();
        await result.RootCommandResult.Command.Parse([.. command, .. socket]).InvokeAsync(
            new InvocationConfiguration { Output = output, Error = output, EnableDefaultExceptionHandler = false }, cancellationToken);
        return output.ToString();
    }
}
