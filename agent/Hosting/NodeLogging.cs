using EdgeStream.Agent.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting;

/// <summary>One line an event: an entry of the journal under systemd, with the time elsewhere.</summary>
internal static class NodeLogging
{
    /// <summary>For the node and its web application.</summary>
    public static ILoggerFactory CreateFactory()
    {
        var filters = new LoggerFilterOptions { MinLevel = LogLevel.Information };
        filters.AddFilter("Microsoft", LogLevel.Warning);
        filters.AddFilter("Grpc", LogLevel.Warning);

        // Kestrel reports each broken connection of a peer here; callers get their own errors.
        filters.AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Error);

        // Here, that one was refused because there are too many: nobody else says why.
        filters.AddFilter("Microsoft.AspNetCore.Server.Kestrel.Connections", LogLevel.Warning);
        filters.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        return new LoggerFactory([CreateProvider()], filters);
    }

    private static ILoggerProvider CreateProvider()
    {
        bool forJournal = SystemdService.PrintsToJournal;
        return forJournal && Journal.TryOpen() is { } journal
            ? new JournalLoggerProvider(journal)
            : new LineLoggerProvider(Console.Out, TimeProvider.System, forJournal);
    }
}
