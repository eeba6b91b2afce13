using EdgeStream.Agent.Hosting.Systemd;

namespace EdgeStream.Agent.Hosting;

/// <summary>One line an event: an entry of the journal under systemd, with the time elsewhere.</summary>
internal static class NodeLogging
{
    public static void Configure(ILoggingBuilder logging)
    {
        logging.ClearProviders();
        logging.SetMinimumLevel(LogLevel.Information);
        logging.AddFilter("Microsoft", LogLevel.Warning);
        logging.AddFilter("Grpc", LogLevel.Warning);

        // Kestrel reports each broken connection of a peer here; callers get their own errors.
        logging.AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Error);
        logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        if (SystemdService.PrintsToJournal && Journal.TryOpen() is { } journal)
            logging.AddProvider(new JournalLoggerProvider(journal));
        else if (SystemdService.PrintsToJournal)
            logging.AddSystemdConsole();
        else
        {
            logging.AddSimpleConsole(console =>
            {
                console.SingleLine = true;
                console.TimestampFormat = "HH:mm:ss.fff ";
                console.UseUtcTimestamp = true;
            });
        }
    }

    /// <summary>For what happens before and after the web application.</summary>
    public static ILoggerFactory CreateFactory() => LoggerFactory.Create(Configure);
}
