using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Client;
using EdgeStream.Mirror;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Cli;

/// <summary>How every command that talks to a node finds it: the local socket, or an address with certificates.</summary>
internal static class ConnectionOptions
{
    private const string ConnectVariable = "EDGESTREAM_CONNECT";
    private const string CertificateVariable = "EDGESTREAM_CERT";
    private const string KeyVariable = "EDGESTREAM_KEY";
    private const string AuthorityVariable = "EDGESTREAM_CA";

    // Another SC is the active one within 7 s or so after one has died.
    private static readonly TimeSpan WhileScTakesOver = TimeSpan.FromSeconds(10);

    public static Option<string?> Socket { get; } = new("--socket")
    {
        Description = $"The node's local socket (default: $EDGESTREAM_SOCKET or {NodePaths.DefaultSocket})",
        HelpName = "path",
        Recursive = true,
    };

    public static Option<string[]> Connect { get; } = new("--connect")
    {
        Description = $"A hub, SCs or SPUs on the network instead, as host:9443; of several any that answers, given again or with commas; needs --cert, --key-file and --ca (default: ${ConnectVariable})",
        HelpName = "url",
        Recursive = true,
    };

    public static Option<string?> Certificate { get; } = new("--cert")
    {
        Description = $"Client certificate (PEM) (default: ${CertificateVariable})",
        HelpName = "file",
        Recursive = true,
    };

    public static Option<string?> Key { get; } = new("--key-file")
    {
        Description = $"Key of the client certificate (PEM) (default: ${KeyVariable})",
        HelpName = "file",
        Recursive = true,
    };

    public static Option<string?> Authority { get; } = new("--ca")
    {
        Description = $"The cluster's CA certificate (PEM) (default: ${AuthorityVariable})",
        HelpName = "file",
        Recursive = true,
    };

    /// <summary>All of them, for the root command.</summary>
    public static IReadOnlyList<Option> All { get; } = [Socket, Connect, Certificate, Key, Authority];

    /// <summary>A client of what the command line names, or else the environment, or else the node that runs here; with patience while an SC takes over.</summary>
    /// <exception cref="EdgeStreamException">The certificates cannot be used.</exception>
    public static EdgeStreamClient Open(ParseResult result) => new(Read(result, Environment.GetEnvironmentVariable) with { Patience = WhileScTakesOver });

    /// <summary>As <see cref="Open"/>, for what a node tells at its own socket only: the environment's cluster is not meant.</summary>
    /// <exception cref="EdgeStreamException">The certificates cannot be used.</exception>
    public static EdgeStreamClient OpenLocal(ParseResult result) =>
        new(Read(result, name => name == ConnectVariable ? null : Environment.GetEnvironmentVariable(name)));

    /// <summary>Whether there is a certificate to be shown.</summary>
    public static bool HasCertificate(ParseResult result) => NamedBy(result, Certificate, CertificateVariable, Environment.GetEnvironmentVariable) is not null;

    /// <param name="result">The command line.</param>
    /// <param name="variable">The environment.</param>
    /// <exception cref="EdgeStreamException">The certificates cannot be used.</exception>
    internal static ClientOptions Read(ParseResult result, Func<string, string?> variable)
    {
        (string Setting, string File)? certificate = NamedBy(result, Certificate, CertificateVariable, variable);
        (string Setting, string File)? key = NamedBy(result, Key, KeyVariable, variable), authority = NamedBy(result, Authority, AuthorityVariable, variable);
        if (certificate is null && key is { } alone)
            throw new CommandException($"{alone.Setting} '{alone.File}' goes with a certificate; name it with {Certificate.Name}");

        return new ClientOptions
        {
            Endpoints = EndpointsOf(result, variable),
            Authority = authority is { } ca ? PemFiles.ReadCertificate(ca.Setting, ca.File) : null,
            Certificate = certificate is { } shown ? PemFiles.ReadIdentity(shown.Setting, shown.File, key?.Setting ?? Key.Name, key?.File) : null,
        };
    }

    /// <summary>A socket that is named counts more than a cluster that is not named here.</summary>
    private static string[] EndpointsOf(ParseResult result, Func<string, string?> variable)
    {
        string? socket = result.GetValue(Socket);
        string[] urls = Split(result.GetValue(Connect) ?? []);
        if (urls.Length == 0 && socket is null)
            urls = Split([variable(ConnectVariable) ?? ""]);

        return urls.Length > 0 ? urls : ["unix:" + NodePaths.SocketOfNode(socket)];

        static string[] Split(string[] lists) =>
            [.. lists.SelectMany(list => list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).Select(EndpointOf)];

        // host and host:port are https, as where an edge joins.
        static string EndpointOf(string address) => address.StartsWith("unix:", StringComparison.Ordinal) || address.Contains("://", StringComparison.Ordinal)
            ? address
            : $"https://{HubAddress.Parse(address).Authority}";
    }

    /// <summary>A file, and what has named it.</summary>
    private static (string Setting, string File)? NamedBy(ParseResult result, Option<string?> option, string name, Func<string, string?> variable) =>
        result.GetValue(option) is { } given ? (option.Name, given)
        : variable(name) is { Length: > 0 } usual ? ($"${name}", usual)
        : null;
}
