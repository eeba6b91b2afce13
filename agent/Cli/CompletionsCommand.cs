using System.CommandLine;

namespace EdgeStream.Agent.Cli;

/// <summary><c>completions</c>: what makes a shell complete these commands.</summary>
internal static class CompletionsCommand
{
    public static Command Create()
    {
        var bash = new CliCommand(
            "bash", "Print a script that makes bash complete commands and options", "source <(edgestream completions bash)");
        bash.Does(async (result, cancellationToken) =>
        {
            // The package installs the same file.
            using var script = new StreamReader(typeof(CompletionsCommand).Assembly.GetManifestResourceStream("bash-completion")!);
            await result.InvocationConfiguration.Output.WriteAsync(await script.ReadToEndAsync(cancellationToken).ConfigureAwait(false)).ConfigureAwait(false);
        });
        return new Command("completions", "Let a shell complete these commands") { bash };
    }
}
