using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>What a partition's stream is called in NATS, and how one of ours is told from another's.</summary>
/// <remarks>
/// Stream <c>edgestream-CLUSTER-TOPIC-PARTITION</c>, subjects <c>edgestream.CLUSTER.TOPIC.PARTITION.KIND</c>; of the cluster's id its
/// <see cref="ClusterPrefix.Short"/>, and '=' in the place of '.' in a topic's name, which separates in NATS. A topic whose name is longer than a stream's
/// may be is cut, and its hash tells it from others. The description, all of it, is what proves whose the stream is.
/// </remarks>
internal sealed record StreamNames(string Stream, string Subject, string Owner)
{
    private const int LongestTopic = 180;
    private const int KeptOfLongTopic = 140;

    public string Data => Subject + ".data";

    public string Gap => Subject + ".gap";

    public string Epoch => Subject + ".epoch";

    public static StreamNames Of(string clusterId, PartitionId id)
    {
        string topic = id.Topic.Length <= LongestTopic
            ? id.Topic
            : $"{id.Topic[..KeptOfLongTopic]}.{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(id.Topic)).AsSpan(0, 16))}";
        topic = KeyValueBucket.PartOf(topic);
        return new StreamNames(
            string.Create(CultureInfo.InvariantCulture, $"{ClusterPrefix.Of(clusterId)}-{topic}-{id.Partition}"),
            string.Create(CultureInfo.InvariantCulture, $"edgestream.{ClusterPrefix.Short(clusterId)}.{topic}.{id.Partition}"),
            $"EdgeStream {clusterId} {id}");
    }

    public string Describe(PartitionManifest manifest) => $"{Owner} {manifest.Incarnation:N}";

    /// <summary>The incarnation in a stream's description; null where the stream is not this partition's.</summary>
    public Guid? FindIncarnation(string? description) =>
        description is not null && description.StartsWith(Owner + " ", StringComparison.Ordinal)
        && Guid.TryParseExact(description[(Owner.Length + 1)..], "N", out Guid incarnation)
            ? incarnation
            : null;
}
