namespace EdgeStream.Agent.Hosting.Systemd;

internal static class Syslog
{
    /// <summary>The level's number in syslog(3).</summary>
    public static int Severity(LogLevel level) => level switch
    {
        LogLevel.Critical => 2,
        LogLevel.Error => 3,
        LogLevel.Warning => 4,
        LogLevel.Information => 6,
        _ => 7,
    };
}
