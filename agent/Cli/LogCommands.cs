using System.CommandLine;

namespace EdgeStream.Agent.Cli;

/// <summary><c>log dump | verify | repair</c>: what lies on the disk, without a node.</summary>
internal static class LogCommands
{
    public static Command Log() => new("log", "Look at the files of a data directory, check and repair them")
    {
        Subcommands = { LogDumpCommand.Create(), LogVerifyCommand.Create(), LogRepairCommand.Create() },
    };

    /// <summary>Runs a command that reads and writes files itself; what the disk refuses becomes one line.</summary>
    public static async Task<int> OnDiskAsync(Func<Task<int>> action)
    {
        try
        {
            return await action().ConfigureAwait(false);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"{error.Message.ReplaceLineEndings(" ")} Is this the user that the node runs as?");
        }
    }
}
