using System.Globalization;

namespace EdgeStream.Cluster.Topology;

/// <summary>What an SPU is called in its certificate: <c>spu-ID</c>.</summary>
public static class SpuNames
{
    private const string Prefix = "spu-";

    public static string Of(int id) => string.Create(CultureInfo.InvariantCulture, $"{Prefix}{id}");

    /// <summary>The id in a name; null where it is no SPU's.</summary>
    public static int? Parse(string name) =>
        name.StartsWith(Prefix, StringComparison.Ordinal)
        && int.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int id) && Of(id) == name
            ? id
            : null;
}
