namespace EdgeStream.Agent.Hosting;

/// <summary>Where things are unless somebody says otherwise.</summary>
internal static class NodePaths
{
    public const string DefaultSocket = "/run/edgestream/edgestream.sock";
    public const string DefaultData = "/var/lib/edgestream";
    public const string DefaultConfiguration = "/etc/edgestream/edgestream.toml";

    /// <summary>
    /// Command line before environment before configuration before default; absolute, for the server takes no other. A variable that is set to
    /// nothing counts as not set.
    /// </summary>
    public static string Socket(string? given, string? configured = null, Func<string, string?>? variable = null) =>
        Path.GetFullPath(given ?? Find("EDGESTREAM_SOCKET", variable) ?? configured ?? DefaultSocket);

    /// <summary>As <see cref="Socket"/>, for those who look for a node: where no packaged edge runs, that of the packaged hub, SC or SPU.</summary>
    public static string SocketOfNode(string? given)
    {
        string socket = Socket(given);
        return socket == DefaultSocket ? PackagedNode.All.Select(node => node.Socket).FirstOrDefault(File.Exists) ?? socket : socket;
    }

    public static string Data(string? given, string? configured = null, Func<string, string?>? variable = null) =>
        given ?? Find("EDGESTREAM_DATA", variable) ?? configured ?? DefaultData;

    private static string? Find(string name, Func<string, string?>? variable) =>
        (variable ?? Environment.GetEnvironmentVariable)(name) is { Length: > 0 } set ? set : null;
}
