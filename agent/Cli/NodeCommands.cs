using System.CommandLine;
using System.Net;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Cluster.Nats;
using EdgeStream.Mirror.Hub;

namespace EdgeStream.Agent.Cli;

/// <summary>The commands that are a node: <c>run</c> (an edge), <c>hub</c>, and those of a cluster, <c>sc</c> and <c>spu</c>.</summary>
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

    private static readonly Option<string?> ClusterConfiguration = new("--config", "-c")
    {
        Description = "Configuration file: [storage] says where NATS is, [cluster] what part of the cluster this is",
        HelpName = "file",
    };

    private static readonly Option<string> Listen = new("--listen")
    {
        Description = "Address and port of the network API (TLS); port 0 takes a free one",
        DefaultValueFactory = _ => $"0.0.0.0:{DefaultPort}",
        HelpName = "address:port",
    };

    private static readonly Option<string?> Advertise = new("--advertise")
    {
        Description = "How the others of the cluster, edges and clients reach it (default: https://, this machine's name and the port of --listen)",
        HelpName = "endpoint",
    };

    private static readonly Option<string> Life = new("--certificate-life")
    {
        Description = "How long certificates of geo-locations are valid; they are renewed after two thirds of it",
        DefaultValueFactory = _ => "90d",
        HelpName = "time",
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
        var command = new CliCommand(
            "hub", "Run a hub: SC and SPU for the data center", "edgestream hub --data ./hub --socket ./hub.sock --listen 0.0.0.0:9443")
        {
            Options = { HubConfiguration, Listen, Data, Budget, Http, Life },
            HandlesSignals = true,
        };
        command.Does((result, _) => StopSignals.RunAsync(stop =>
        {
            AgentConfiguration configuration = LoadForHub(result.GetValue(HubConfiguration));
            return configuration.Cluster is null
                ? HubNode.RunAsync(OptionsOf(result, configuration, result.GetValue(Life)), stop)
                : throw new ConfigurationException("[cluster] is for 'edgestream sc' and 'edgestream spu'; a hub is both in one process, and needs none");
        }));
        return command;
    }

    public static Command Sc()
    {
        Option<bool> acceptMetadata = new("--accept-metadata")
        {
            Description = "Go on with what is left of the cluster's metadata, where an SC says that some is lost or overwritten; for one start, after a look at what it says",
        };
        var command = new CliCommand(
            "sc",
            "Run a streaming controller of a cluster: one of several, of which one is active and the others take over",
            "edgestream sc --config sc.toml --data ./sc --socket ./sc.sock")
        {
            Options = { ClusterConfiguration, Listen, Advertise, acceptMetadata, Data, Budget, Http, Life },
            HandlesSignals = true,
        };
        command.Does((result, _) => StopSignals.RunAsync(stop =>
        {
            (NodeOptions options, ClusterOptions cluster) = ClusterOf(result, "an SC", result.GetValue(Life));
            cluster = cluster with { AcceptsLoss = result.GetValue(acceptMetadata) };
            return JetStreamSupport.IsSupported ? ScNode.RunAsync(options, cluster, stop) : throw new NotSupportedException("this build has no JetStream");
        }));
        return command;
    }

    /// <summary>The SPU itself, with what else concerns SPUs below it.</summary>
    public static Command Spu()
    {
        Option<int?> id = new Option<int?>("--id") { Description = "Its number in the cluster (default: that of its identity)", HelpName = "number" }.AtLeast(0);
        Option<string?> zone = new("--zone") { Description = "Where it stands, such as a rack", HelpName = "name" };
        Option<string[]> controllers = new("--sc")
        {
            Description = "Where the SCs are, https://host:port; may be given several times",
            HelpName = "endpoint",
            DefaultValueFactory = _ => [],
        };
        Option<string?> identity = new("--identity") { Description = "The directory that 'edgestream spu certificate' has made", HelpName = "dir" };
        var command = new CliCommand(
            "spu",
            "Run a streaming processing unit of a cluster; or look at those that there are",
            "edgestream spu --config spu.toml --identity ./spu-2 --sc https://sc1.example:9443 --data ./spu --socket ./spu.sock")
        {
            Options = { ClusterConfiguration, Listen, Advertise, id, zone, controllers, identity, Data, Budget, Http },
            Subcommands = { TopologyCommands.SpuList(), TopologyCommands.SpuRemove(), SpuCertificateCommand.Create() },
            HandlesSignals = true,
        };
        command.Does((result, _) => StopSignals.RunAsync(stop =>
        {
            (NodeOptions options, ClusterOptions cluster) = ClusterOf(result, "an SPU", life: null);
            string[] named = result.GetValue(controllers) ?? [];
            foreach (string endpoint in named)
            {
                if (ClusterReader.FindEndpointProblem(endpoint) is { } problem)
                    throw new CommandException($"--sc {problem}");
            }

            cluster = cluster with
            {
                Id = result.GetValue(id) ?? cluster.Id,
                Zone = result.GetValue(zone) ?? cluster.Zone,
                Controllers = named.Length > 0 ? named : cluster.Controllers,
                Identity = result.GetValue(identity) ?? cluster.Identity,
            };
            if (cluster.Controllers.Count == 0)
                throw new CommandException("an SPU has to know where the SCs are: say it with cluster.sc in the configuration, or with --sc https://host:9443");

            if (cluster.Identity is null)
                throw new CommandException("an SPU needs its identity: make it with 'edgestream spu certificate' where the SC's data are, and name its directory with --identity or cluster.identity");

            return JetStreamSupport.IsSupported ? SpuNode.RunAsync(options, cluster, stop) : throw new NotSupportedException("this build has no JetStream");
        }));
        return command;
    }

    private static (NodeOptions Options, ClusterOptions Cluster) ClusterOf(ParseResult result, string who, string? life)
    {
        string file = result.GetValue(ClusterConfiguration)
            ?? throw new CommandException($"{who} needs a configuration file, which says where NATS is: --config FILE, with [storage] engine = \"jetstream\" and nats = [...]");
        AgentConfiguration configuration = LoadForHub(file);
        if (configuration.JetStream is null)
        {
            throw new ConfigurationException(
                $"{file}: {who} keeps everything in NATS JetStream, so [storage] has engine = \"jetstream\" and nats = [...]; on one machine 'edgestream hub' needs no NATS");
        }

        ClusterOptions cluster = configuration.Cluster ?? new ClusterOptions();
        if (result.GetValue(Advertise) is { } advertise)
        {
            if (ClusterReader.FindEndpointProblem(advertise) is { } problem)
                throw new CommandException($"--advertise {problem}");

            cluster = cluster with { Advertise = advertise };
        }

        return (OptionsOf(result, configuration, life), cluster);
    }

    private static NodeOptions OptionsOf(ParseResult result, AgentConfiguration configuration, string? life)
    {
        var options = new NodeOptions(
            NodePaths.Data(result.GetValue(Data), configuration.Data),
            NodePaths.Socket(result.GetValue(ConnectionOptions.Socket), configuration.Socket),
            ParseEndpoint(result.GetValue(Listen)!),
            ParseBudget(result.GetValue(Budget)) ?? configuration.Budget,
            ParseHttp(result.GetValue(Http)) ?? configuration.Http)
        {
            JetStream = configuration.JetStream,
        };
        return life is null ? options : options with { CertificateLife = ParseLife(life) };
    }

    /// <summary>Only what was named: the usual file is an edge's.</summary>
    private static AgentConfiguration LoadForHub(string? file)
    {
        if (file is null)
            return new AgentConfiguration();

        AgentConfiguration configuration = ConfigurationFiles.Load(file);
        return configuration.IsForEdge
            ? throw new ConfigurationException($"{file}: {AgentConfiguration.IsForEdgeProblem}")
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
