using NATS.Client.JetStream;

namespace EdgeStream.Cluster.Nats;

/// <summary>The servers' error codes that something depends on here (<c>server/errors.json</c> of nats-server).</summary>
internal static class JetStreamErrors
{
    public const int NoSuitablePeers = 10005;
    public const int InsufficientResources = 10023;
    public const int MessageNotFound = 10037;
    public const int NotEnabledForAccount = 10039;
    public const int StorageExceeded = 10047;
    public const int StreamNameInUse = 10058;
    public const int StreamNotFound = 10059;
    public const int SubjectsOverlap = 10065;
    public const int WrongLastSequence = 10071;
    public const int ReplicasNotSupported = 10074;
    public const int NotEnabled = 10076;
    public const int StoreFailed = 10077;

    private const int AccountLimit = 10002;
    private const int ClusterNotAvailable = 10008;
    private const int ClusterNotLeader = 10009;
    private const int StreamOffline = 10118;

    /// <summary>While a leader is being chosen, for instance: no answer to what was asked.</summary>
    public static bool IsPassing(int code) => code is ClusterNotAvailable or ClusterNotLeader or StreamOffline;

    public static bool IsFull(int code) => code is StoreFailed or InsufficientResources or StorageExceeded or AccountLimit;

    public static bool IsTooManyReplicas(int code) => code is NoSuitablePeers or ReplicasNotSupported;

    public static ClusterException TooManyReplicas(int replicas, NatsJSApiException refusal) => new(
        ErrorCode.InvalidArgument,
        $"{replicas} replicas need as many NATS servers with JetStream in one cluster, and there are fewer now, or fewer with room ({refusal.Error.Description}); "
        + "start more of them, or choose fewer replicas");
}
