using System.Globalization;
using EdgeStream.Cluster.Nats;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>The keys of the topology's bucket.</summary>
internal static class TopologyKeys
{
    public const string Cluster = "cluster";
    public const string Writer = "writer";
    public const string Authority = "authority";
    public const string Epochs = "epochs";
    public const string Topics = "topic.";
    public const string GeoLocations = "geo.";
    public const string Invites = "invite.";
    public const string Spus = "spu.";
    public const string RevokedNames = "revoked.";

    private static readonly string[] Prefixes = [Topics, GeoLocations, Invites, Spus, RevokedNames];

    public static string OfTopic(string name) => Topics + KeyValueBucket.PartOf(name);

    public static string OfGeoLocation(string name) => GeoLocations + KeyValueBucket.PartOf(name);

    public static string OfInvite(string secretHash) => Invites + secretHash;

    public static string OfSpu(int id) => string.Create(CultureInfo.InvariantCulture, $"{Spus}{id}");

    public static string OfRevokedName(string name) => RevokedNames + KeyValueBucket.PartOf(name);

    /// <summary>Whether a key is one that SCs write.</summary>
    public static bool IsOne(string key) => key is Cluster or Writer or Authority or Epochs || Prefixes.Any(prefix => key.StartsWith(prefix, StringComparison.Ordinal));
}
