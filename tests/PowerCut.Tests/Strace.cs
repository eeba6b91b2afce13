namespace EdgeStream.PowerCut.Tests;

/// <summary>Runs a program under strace, which makes some of its system calls fail, or kills it at one of them.</summary>
internal sealed class Strace
{
    private readonly string _log;

    private Strace(string log, params string[] options)
    {
        _log = log;
        Command = ["strace", "-f", "-qq", "-o", log, .. options];
    }

    /// <summary>Why this cannot be done here; null where it can.</summary>
    public static string? Obstacle { get; } =
        Tool.TryRun("strace", "-f", "-e", "trace=none", "true") is { } problem ? $"strace must be able to trace a child: {problem}" : null;

    /// <summary>What to put in front of the program.</summary>
    public IReadOnlyList<string> Command { get; }

    /// <summary>Makes calls fail. Writes are recorded as well, to see what the program says after a fault.</summary>
    /// <param name="calls">Names of system calls.</param>
    /// <param name="error">The error's name.</param>
    /// <param name="when">Which of them, as strace understands it: 3, 3+, 3..5, 3+2.</param>
    /// <param name="log">The file that takes the record.</param>
    public static Strace Fail(string calls, string error, string when, string log) =>
        new(log, "--seccomp-bpf", "-e", $"trace={calls},write", "-e", "signal=none", "-e", $"inject={calls}:error={error}:when={when}");

    /// <summary>Kills the program when it makes a call for the n-th time; the call is not made any more.</summary>
    /// <remarks>Stops at every call of any kind, for with the filter in the kernel strace does not deliver the signal.</remarks>
    public static Strace Kill(string call, int when, string log) =>
        new(log, "-e", $"trace={call}", "-e", $"inject={call}:signal=SIGKILL:when={when}");

    /// <summary>Lets calls return success without being made.</summary>
    public static Strace Skip(string calls, string log) =>
        new(log, "--seccomp-bpf", "-e", $"trace={calls}", "-e", $"inject={calls}:retval=0");

    /// <summary>Whether a fault was injected.</summary>
    public bool Struck => File.ReadLines(_log).Any(IsFault);

    /// <summary>What the program did from the first fault on, in the kernel's order.</summary>
    public IEnumerable<string> CallsSinceFault => File.ReadLines(_log).SkipWhile(line => !IsFault(line));

    private static bool IsFault(string line) => line.Contains("(INJECTED)", StringComparison.Ordinal);
}
