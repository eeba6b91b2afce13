using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Cli;

/// <summary>
/// The node of this machine that a command looks at, whether it runs or not: the one whose configuration file or socket is named, or else the
/// one that a package has here.
/// </summary>
internal sealed class LocalNode
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private LocalNode(PackagedNode? package, string? file)
    {
        (Package, File) = (package, file);
        try
        {
            Configuration = file is null ? new AgentConfiguration() : ConfigurationFiles.Load(file);
        }
        catch (ConfigurationException problem)
        {
            Problem = problem;
        }
    }

    public static Option<string?> ConfigurationFile { get; } = new("--config", "-c")
    {
        Description = $"Configuration file (default: that of the node whose socket is found here, {NodePaths.DefaultConfiguration} if it is an edge's)",
        HelpName = "file",
    };

    public static Option<string?> DataDirectory { get; } = new("--data")
    {
        Description = $"Where all state is kept (default: as configured, or as the node says, $EDGESTREAM_DATA or {NodePaths.DefaultData})",
        HelpName = "dir",
    };

    /// <summary>Whose unit and files it has; null for one that somebody has started otherwise.</summary>
    public PackagedNode? Package { get; }

    /// <summary>Its configuration file; null where it has none, or nobody knows which.</summary>
    public string? File { get; private set; }

    /// <summary>What stands in the file; null where that cannot be used, as <see cref="Problem"/> says.</summary>
    public AgentConfiguration? Configuration { get; private set; }

    /// <summary>Why there is no configuration.</summary>
    public ConfigurationException? Problem { get; private set; }

    /// <summary>Its local socket.</summary>
    public string Socket { get; private set; } = "";

    /// <summary>Where its state is.</summary>
    public string Data { get; private set; } = "";

    /// <summary>How it is; null where it does not run, or was not asked.</summary>
    public NodeStatus? Running { get; private set; }

    /// <summary>A node of another kind that has the socket; null where there is none.</summary>
    public NodeStatus? Stranger { get; private set; }

    /// <summary>Nodes of packages that run here as well, where nobody has said which one is meant.</summary>
    public IReadOnlyList<PackagedNode> Others { get; private set; } = [];

    /// <summary><c>edge</c>, <c>hub</c>, <c>sc</c> or <c>spu</c>.</summary>
    public string Kind => Package?.Kind ?? Running?.Role ?? Configuration switch
    {
        { Cluster: { Identity: not null } or { Controllers.Count: > 0 } } => "spu",
        { Cluster: not null } => "sc",
        { JetStream: not null } => "hub",
        _ => "edge",
    };

    /// <summary>With its configuration; without asking whether it runs, and where.</summary>
    public static LocalNode Find(ParseResult result)
    {
        string? file = result.GetValue(ConfigurationFile);
        PackagedNode? package = PackagedNode.Find(file, result.GetValue(ConnectionOptions.Socket), Path.Exists);
        PackagedNode usual = package ?? PackagedNode.Edge;
        bool isNamed = file is not null || result.GetValue(ConnectionOptions.Socket) is not null;
        return new LocalNode(package, file ?? (usual.NeedsConfiguration || Path.Exists(usual.Configuration) ? usual.Configuration : null))
        {
            Others = isNamed ? [] : [.. PackagedNode.All.Where(other => other != package && Path.Exists(other.Socket))],
        };
    }

    /// <summary>With how it is, if it runs, and all that it says of itself.</summary>
    public static async Task<LocalNode> FindRunningAsync(ParseResult result)
    {
        LocalNode node = Find(result);
        PackagedNode? unit = node.Package is { IsOfDataCenter: true } ? node.Package : null;
        node.Socket = NodePaths.Socket(result.GetValue(ConnectionOptions.Socket), unit?.Socket ?? node.Configuration?.Socket);
        if (await TryGetStatusAsync(node.Socket).ConfigureAwait(false) is { } status)
            node.Meet(status, isNamed: result.GetValue(ConfigurationFile) is not null);

        string? data = result.GetValue(DataDirectory);
        node.Data = unit is null && node is { Configuration: null, File: { } file }
            ? StartConfiguration.DataDirectories(file, data)[0]
            : NodePaths.Data(data, unit?.Data ?? node.Configuration?.Data ?? node.Running?.DataDirectory);
        return node;
    }

    /// <summary>A kind of node, for people.</summary>
    public static string NameOf(string kind) => kind switch
    {
        "sc" => "an SC",
        "spu" => "an SPU",
        "hub" => "a hub",
        _ => "an edge",
    };

    private void Meet(NodeStatus status, bool isNamed)
    {
        // The usual file is an edge's, and a hub needs none.
        if (Package is null && !isNamed && status.Role != "edge")
        {
            (File, Configuration) = (null, status.Role == "hub" ? new AgentConfiguration() : null);
            Problem = new ConfigurationException($"{NameOf(status.Role)} answers on {Socket}, and nobody knows with which configuration; name it with --config");
        }

        if (MayBe(status.Role))
            Running = status;
        else
            Stranger = status;
    }

    private bool MayBe(string role) => Package is { } package ? role == package.Kind
        : Configuration is { IsForEdge: true } ? role == "edge"
        : Configuration is not ({ Cluster: not null } or { JetStream: not null }) || role != "edge";

    private static async Task<NodeStatus?> TryGetStatusAsync(string socket)
    {
        try
        {
            using var client = new EdgeStreamClient(new ClientOptions { Endpoint = "unix:" + socket });
            return await client.CallAsync(c => c.Agent.GetStatusAsync(new GetStatusRequest())).WaitAsync(Patience).ConfigureAwait(false);
        }
        catch (Exception error) when (error is EdgeStreamException or TimeoutException)
        {
            return null;
        }
    }
}
