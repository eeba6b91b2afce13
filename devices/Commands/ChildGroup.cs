using System.ComponentModel;
using System.Diagnostics;
using EdgeStream.Devices.Kernel;

namespace EdgeStream.Devices.Commands;

/// <summary>A program and all that it starts: a process group of its own, which ends as a whole.</summary>
internal sealed class ChildGroup : IDisposable
{
    // Puts the program into a session, and so a group, of its own; part of each Debian.
    private const string SetSid = "setsid";

    // This runtime ignores SIGPIPE, which is inherited: a program whose reader is gone would go on for ever.
    private static readonly string[] WithBrokenPipes = ["env", "--default-signal=PIPE"];

    private const int Terminate = 15;
    private const int Kill = 9;

    private readonly Process _process;
    private bool _hasEnded;

    private ChildGroup(Process process) => _process = process;

    public Stream Output => _process.StandardOutput.BaseStream;

    public Stream Error => _process.StandardError.BaseStream;

    /// <summary>Of the program itself; only when it has ended.</summary>
    public int ExitCode => _process.ExitCode;

    /// <exception cref="IOException">It cannot be started.</exception>
    public static ChildGroup Start(IReadOnlyList<string> command)
    {
        string program = Find(command[0]);
        var start = new ProcessStartInfo(SetSid)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (string argument in (IEnumerable<string>)["--", .. WithBrokenPipes, program, .. command.Skip(1)])
            start.ArgumentList.Add(argument);

        try
        {
            Process process = Process.Start(start)!;
            process.StandardInput.Close();
            return new ChildGroup(process);
        }
        catch (Win32Exception error)
        {
            throw new IOException($"'{command[0]}' cannot be started: {error.Message}", error);
        }
    }

    /// <summary>Completes when the program itself has ended; what it has started may still be there.</summary>
    public Task WaitForExitAsync() => _process.WaitForExitAsync(CancellationToken.None);

    /// <summary>Asks all of them to end.</summary>
    public void AskToEnd() => LibC.SignalGroup(_process.Id, Terminate);

    /// <summary>Ends all of them at once. The group keeps its number while anybody is in it, also without the program.</summary>
    public void End()
    {
        // Once: when it is empty, its number is free for others.
        if (!_hasEnded)
            LibC.SignalGroup(_process.Id, Kill);

        _hasEnded = true;
    }

    /// <summary>Ends all that is left.</summary>
    public void Dispose()
    {
        End();
        _process.Dispose();
    }

    /// <summary>The path of a program, looked for here, because the one who would say that it is missing is started already.</summary>
    /// <exception cref="IOException">There is none, or this user may not run it.</exception>
    public static string Find(string program)
    {
        IEnumerable<string> candidates = program.Contains('/', StringComparison.Ordinal)
            ? [program]
            : (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':').Select(folder => Path.Combine(folder, program));
        string path = candidates.FirstOrDefault(File.Exists)
            ?? throw new IOException($"there is no program '{program}'; give its whole path, or install it");
        const UnixFileMode Executable = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
        if ((File.GetUnixFileMode(path) & Executable) == 0)
            throw new IOException($"'{path}' is no program; 'chmod +x {path}' makes it one");

        return LibC.MayExecute(path)
            ? path
            : throw new IOException($"user {Environment.UserName} may not run '{path}'; 'chmod o+rx {path}' gives everybody the right");
    }
}
