using System.CommandLine;
using System.Net;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Mirror.Hub;

namespace EdgeStream.Agent.Cli;

/// <summary>The commands that are a node: <c>run</c> (an edge) and <c>hub</c>.</summary>
internal static class NodeCommands
{
    private const int DefaultPort = 9443;

    private static readonly Option<string?> Data = new("--data")
    {
        Description = $"Where all state is kept (default: $EDGESTREAM_DATA or {NodePaths.DefaultData})",
        HelpName = "dir",
    };

    private static readonly Option<string?> Budget = new("--budget")
    {
        Description = "How much disk the data may use (default: four fifths of what is free at the first start)",
        HelpName = "size",
    };

    private static readonly Option<string?> HubConfiguration = new("--config", "-c")
    {
        Description = "Configuration file: data, socket, [http] and [storage], for instance to keep the records in NATS JetStream",
        HelpName = "file",
    };

    private static readonly Option<string?> Http = new("--http")
    {
        Description = $"Address and port of /metrics, /healthz and /readyz, or 'none' (default: {HttpListen.Default.Endpoint}); port 0 takes a free one",
        HelpName = "address:port",
    };

    public static Command Run()
    {
        Option<string?> configuration = new("--config", "-c")
        {
            Description = $"Configuration file (default: {NodePaths.DefaultConfiguration} where it exists)",
            HelpName = "file",
        };
        var command = new CliCommand(
            "run", "Run an edge: sources, local log and uplink", "edgestream run --config edgestream.toml --data ./data --socket ./edge.sock")
        {
            Options = { configuration, Data, Budget, Http },
            HandlesSignals = true,
        };
        command.Does((result, _) => StopSignals.RunAsync(stop => EdgeNode.RunAsync(
            result.GetValue(configuration), result.GetValue(Data), result.GetValue(ConnectionOptions.Socket),
            ParseBudget(result.GetValue(Budget)), ParseHttp(result.GetValue(Http)), stop)));
        return command;
    }

    public static Command Hub()
    {
        Option<string> listen = new("--listen")
        {
            Description = "Address and port of the network API (TLS); port 0 takes a free one",
            DefaultValueFactory = _ => $"0.0.0.0:{DefaultPort}",
            HelpName = "address:port",
        };
        Option<string> life = new("--certificate-life")
        {
            Description = "How long certificates of geo-locations are valid; they are renewed after two thirds of it",
            DefaultValueFactory = _ => "90d",
            HelpName = "time",
        };
        var command = new CliCommand(
            "hub", "Run a hub: SC and SPU for the data center", "edgestream hub --data ./hub --socket ./hub.sock --listen 0.0.0.0:9443")
        {
            Options = { HubConfiguration, listen, Data, Budget, Http, life },
            HandlesSignals = true,
        };
        command.Does((result, _) => StopSignals.RunAsync(stop =>
        {
            AgentConfiguration configuration = LoadForHub(result.GetValue(HubConfiguration));
            return HubNode.RunAsync(
                new NodeOptions(
                    NodePaths.Data(result.GetValue(Data), configuration.Data),
                    NodePaths.Socket(result.GetValue(ConnectionOptions.Socket), configuration.Socket),
                    ParseEndpoint(result.GetValue(listen)!),
                    ParseBudget(result.GetValue(Budget)) ?? configuration.Budget,
                    ParseHttp(result.GetValue(Http)) ?? configuration.Http)
                {
                    CertificateLife = ParseLife(result.GetValue(life)!),
                    JetStream = configuration.JetStream,
                },
                stop);
        }));
        return command;
    }

    /// <summary>Only what was named: the usual file is an edge's.</summary>
    private static AgentConfiguration LoadForHub(string? file)
    {
        if (file is null)
            return new AgentConfiguration();

        AgentConfiguration configuration = ConfigurationFiles.Load(file);
        return configuration.IsForEdge
            ? throw new ConfigurationException($"{file}: topics, sources, sinks and an uplink are for an edge; a hub has data, socket, [http] and [storage]")
            : configuration;
    }

    private static TimeSpan ParseLife(string text)
    {
        if (!Quantities.TryParseTime(text, out TimeSpan life)
            || life < HubAuthority.MinGeoLocationLife
            || life > HubAuthority.MaxGeoLocationLife)
        {
            throw new CommandException(
                $"--certificate-life '{text}' is no time from {Quantities.FormatTime(HubAuthority.MinGeoLocationLife)} "
                + $"to {Quantities.FormatTime(HubAuthority.MaxGeoLocationLife)}; write for instance 90d");
        }

        return life;
    }

    private static long? ParseBudget(string? text)
    {
        if (text is null)
            return null;

        if (!Quantities.TryParseBytes(text, out long bytes))
            throw new CommandException($"'{text}' is no size; write for instance 512MiB or 20GiB");

        return bytes;
    }

    private static HttpListen? ParseHttp(string? text)
    {
        if (text is null)
            return null;

        if (!HttpListen.TryParse(text, out HttpListen? listen))
            throw new CommandException($"--http '{text}' is no address to listen on; {HttpListen.Example}");

        return listen;
    }

    private static IPEndPoint ParseEndpoint(string text)
    {
        if (!IPEndPoint.TryParse(text, out IPEndPoint? endpoint))
            throw new CommandException($"'{text}' is no address to listen on; write for instance 0.0.0.0:{DefaultPort} or [::]:{DefaultPort}");

        // "0.0.0.0" alone parses as port 0, which takes any; somebody who names no port means the usual one.
        bool hasPort = endpoint.Port != 0 || text.EndsWith(":0", StringComparison.Ordinal);
        return hasPort ? endpoint : new IPEndPoint(endpoint.Address, DefaultPort);
    }
}
