using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace EdgeStream.Agent.Cli;

/// <summary>A command whose help shows an example.</summary>
internal sealed class CliCommand(string name, string description, string example) : Command(name, description)
{
    public string Example => example;

    /// <summary>It stops by itself when it is told to, in its own time.</summary>
    public bool HandlesSignals { get; init; }

    /// <summary>What the command does; its result is the exit code 0, its exceptions become one line and exit code 1.</summary>
    public void Does(Func<ParseResult, CancellationToken, Task> action) => DoesWithExitCode(async (result, cancellationToken) =>
    {
        await action(result, cancellationToken).ConfigureAwait(false);
        return 0;
    });

    /// <summary>As <see cref="Does"/>, where what it finds decides about the exit code, which is its result.</summary>
    public void DoesWithExitCode(Func<ParseResult, CancellationToken, Task<int>> action) => SetAction(action);

    /// <summary>Lets the help of <paramref name="root"/>, and so of all commands, end with the command's example.</summary>
    public static void AddExamplesToHelp(RootCommand root)
    {
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new ExampleHelp((HelpAction)help.Action!);
    }

    /// <summary>
    /// What is wrong with a command line that has come as far as its command, in one line; null where nothing is. All of its help would hide it.
    /// Who has not found a command yet gets the list.
    /// </summary>
    public static string? FindMistake(ParseResult result)
    {
        if (result is not { Action: ParseErrorAction, Errors: [var first, ..], CommandResult.Command: CliCommand command })
            return null;

        string message = string.Join(' ', first.Message.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.');
        string name = command.Name;
        for (Command? above = command.Parents.OfType<Command>().FirstOrDefault(); above is not null; above = above.Parents.OfType<Command>().FirstOrDefault())
            name = $"{above.Name} {name}";

        return $"{message}; '{name} --help' shows how it goes";
    }

    private sealed class ExampleHelp(HelpAction inner) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parseResult)
        {
            int code = inner.Invoke(parseResult);
            if (parseResult.CommandResult.Command is CliCommand command)
            {
                TextWriter output = parseResult.InvocationConfiguration.Output;
                output.WriteLine("Example:");
                foreach (string line in command.Example.Split('\n'))
                    output.WriteLine($"  {line}");

                output.WriteLine();
            }

            return code;
        }
    }
}
