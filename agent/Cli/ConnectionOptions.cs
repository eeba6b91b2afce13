using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Client;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Cli;

/// <summary>How every command that talks to a node finds it: the local socket, or an address with certificates.</summary>
internal static class ConnectionOptions
{
    public static Option<string?> Socket { get; } = new("--socket")
    {
        Description = $"The node's local socket (default: $EDGESTREAM_SOCKET or {NodePaths.DefaultSocket})",
        HelpName = "path",
        Recursive = true,
    };

    public static Option<string[]> Connect { get; } = new("--connect")
    {
        Description = "A hub on the network instead, as https://host:9443; of several SCs any that answers, given again or with commas; needs --cert, --key-file and --ca",
        HelpName = "url",
        Recursive = true,
    };

    public static Option<string?> Certificate { get; } = new("--cert") { Description = "Client certificate (PEM)", HelpName = "file", Recursive = true };

    public static Option<string?> Key { get; } = new("--key-file") { Description = "Key of the client certificate (PEM)", HelpName = "file", Recursive = true };

    public static Option<string?> Authority { get; } = new("--ca") { Description = "The hub's CA certificate (PEM)", HelpName = "file", Recursive = true };

    /// <summary>All of them, for the root command.</summary>
    public static IReadOnlyList<Option> All { get; } = [Socket, Connect, Certificate, Key, Authority];

    /// <exception cref="EdgeStreamException">The certificates cannot be used.</exception>
    public static EdgeStreamClient Open(ParseResult result)
    {
        string[] urls = [.. (result.GetValue(Connect) ?? [])
            .SelectMany(given => given.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))];
        string? certificate = result.GetValue(Certificate), key = result.GetValue(Key);
        if (certificate is null && key is not null)
            throw new CommandException($"--key-file '{key}' goes with a certificate; name it with --cert");

        return new EdgeStreamClient(new ClientOptions
        {
            Endpoints = urls.Length > 0 ? urls : ["unix:" + NodePaths.SocketOfNode(result.GetValue(Socket))],
            Authority = result.GetValue(Authority) is { } ca ? PemFiles.ReadCertificate("--ca", ca) : null,
            Certificate = certificate is null ? null : PemFiles.ReadIdentity("--cert", certificate, "--key-file", key),
        });
    }
}
