using Microsoft.Extensions.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting.Systemd;

/// <summary>
/// Whether this process is a service of systemd, which its environment says. The library asks for the parent's name instead, and a
/// unit with <c>ProtectProc=invisible</c> does not see its parent.
/// </summary>
internal static class SystemdService
{
    private static bool IsWaitedFor => Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is { Length: > 0 };

    /// <summary>Whether what this process prints goes to the journal. Child processes inherit the variable, though not the stream.</summary>
    public static bool PrintsToJournal
    {
        get
        {
            string? stream = Environment.GetEnvironmentVariable("JOURNAL_STREAM");
            return stream?.Split(':') is [_, var inode] && new FileInfo("/proc/self/fd/1").LinkTarget == $"socket:[{inode}]";
        }
    }

    /// <summary>Lets systemd know when the host has started and when it stops.</summary>
    public static void AddTo(IServiceCollection services)
    {
        if (!IsWaitedFor)
            return;

        services.AddSingleton<ISystemdNotifier, SystemdNotifier>();
        services.AddSingleton<IHostLifetime, SystemdLifetime>();
    }
}
