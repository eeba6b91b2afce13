using EdgeStream.Cluster;

namespace EdgeStream.Mirror;

/// <summary>Where a hub listens, as people write it: <c>host</c>, <c>host:port</c> or <c>https://host:port</c>.</summary>
public static class HubAddress
{
    public const int DefaultPort = 9443;

    /// <exception cref="ClusterException">It is no address.</exception>
    public static Uri Parse(string text)
    {
        string address = text.Contains("://", StringComparison.Ordinal) ? text : $"https://{text}";
        if (!Uri.TryCreate(address, UriKind.Absolute, out Uri? uri) || uri.Scheme != Uri.UriSchemeHttps || uri.Host.Length == 0
            || uri.PathAndQuery != "/")
        {
            throw new ClusterException(ErrorCode.InvalidArgument, $"'{text}' is no hub address; write host or host:port");
        }

        // 443 is https's default and cannot be told from no port at all, unless it was written out.
        bool hasPort = !uri.IsDefaultPort || address.TrimEnd('/').EndsWith(":443", StringComparison.Ordinal);
        return hasPort ? uri : new UriBuilder(uri) { Port = DefaultPort }.Uri;
    }

    /// <summary>Several addresses of one hub, separated by commas.</summary>
    /// <exception cref="ClusterException">One of them is no address, or there is none.</exception>
    public static IReadOnlyList<Uri> ParseAll(string texts) =>
        [.. texts.Split(',', StringSplitOptions.TrimEntries).Select(Parse).DistinctBy(address => address.Authority)];
}
