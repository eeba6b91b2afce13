namespace EdgeStream.Cluster.Nats;

/// <summary>What the names of a cluster's streams and buckets in NATS begin with: of its id, the first twelve digits.</summary>
internal static class ClusterPrefix
{
    private const int Digits = 12;

    /// <summary><c>edgestream-CLUSTER</c>: also the name of the bucket with its state.</summary>
    public static string Of(string clusterId) => $"edgestream-{Short(clusterId)}";

    /// <summary>The digits alone.</summary>
    public static string Short(string clusterId) => clusterId[..Math.Min(Digits, clusterId.Length)];
}
