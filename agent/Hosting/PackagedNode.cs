namespace EdgeStream.Agent.Hosting;

/// <summary>Where the packages have a node of a kind, as its unit says.</summary>
/// <param name="Kind"><c>edge</c>, <c>hub</c>, <c>sc</c> or <c>spu</c>.</param>
/// <param name="Configuration">Its configuration file.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Socket">Its local socket.</param>
/// <param name="Port">Where its network API listens; null where it has none.</param>
internal sealed record PackagedNode(string Kind, string Configuration, string Data, string Socket, int? Port)
{
    public static PackagedNode Edge { get; } = new("edge", NodePaths.DefaultConfiguration, NodePaths.DefaultData, NodePaths.DefaultSocket, Port: null);

    /// <summary>The edge first, then those of a data center in the order in which they know more of a cluster.</summary>
    public static IReadOnlyList<PackagedNode> All { get; } = [Edge, OfDataCenter("hub", 9443), OfDataCenter("sc", 9443), OfDataCenter("spu", 9444)];

    /// <summary>Whether its unit says where data and socket are, whatever the configuration says; the edge's leaves that to it.</summary>
    public bool IsOfDataCenter => this != Edge;

    /// <summary>Whether it cannot start without the file.</summary>
    public bool NeedsConfiguration => Kind is "sc" or "spu";

    /// <summary>Who is meant by a configuration file, or else by a socket, or else without either; null where that is none of a package.</summary>
    /// <param name="configuration">That was named; null where none was.</param>
    /// <param name="socket">That was named; null where none was.</param>
    /// <param name="exists">Whether there is such a file or directory.</param>
    public static PackagedNode? Find(string? configuration, string? socket, Func<string, bool> exists)
    {
        if (configuration is not null)
            return All.FirstOrDefault(node => node.Configuration == Path.GetFullPath(configuration));

        if (NodePaths.Socket(socket) is var named && named != NodePaths.DefaultSocket)
            return All.FirstOrDefault(node => node.Socket == named);

        // Who runs; or has run, where nobody does.
        return All.FirstOrDefault(node => exists(node.Socket))
            ?? All.FirstOrDefault(node => exists(node.Configuration) && exists(node.Data))
            ?? Edge;
    }

    private static PackagedNode OfDataCenter(string kind, int port) =>
        new(kind, $"/etc/edgestream/{kind}.toml", $"/var/lib/edgestream-{kind}", $"/run/edgestream-{kind}/edgestream.sock", port);
}
