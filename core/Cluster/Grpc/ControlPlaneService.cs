using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using Grpc.Core;

namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// The control plane. The SC serves what changes the topology, an SPU what its partitions know; where both are one process, that serves all.
/// </summary>
public sealed class ControlPlaneService(
    IClusterView cluster, GeoLocationPresence presence, Accessor<StreamController>? sc = null, LocalSpu? spu = null, Accessor<IHubAuthority>? hub = null)
    : V1.ControlPlane.ControlPlaneBase
{
    private static readonly TimeSpan DefaultInviteValidity = TimeSpan.FromDays(1);
    private static readonly TimeSpan MaxInviteValidity = TimeSpan.FromDays(365);

    /// <summary>An SC that stands by knows none, and says so.</summary>
    private TopologyMap Current => sc?.Value.Current ?? (cluster.Current is { IsTold: true } told ? told : throw SpuView.NotTold());

    private StreamController Controller => sc?.Value ?? throw new ClusterException(
        ErrorCode.WrongRole, "this node is an SPU; what changes the topology is for an SC, so ask one of the cluster's (--connect)");

    private LocalSpu Spu => spu ?? throw new ClusterException(
        ErrorCode.WrongRole, "this node is an SC, which has no records; the SPU that leads a partition knows how it is");

    private IHubAuthority Hub => hub?.Value ?? throw new ClusterException(
        ErrorCode.WrongRole, sc is null ? "this node is an SPU; an SC lets others in" : "this node is an edge; ask its hub, which is the one that lets others in");

    public override Task<V1.Topology> GetTopology(V1.GetTopologyRequest request, ServerCallContext context) =>
        Task.FromResult(TopologyMessages.ToAnswer(request, Current, presence, cluster.StatusOf));

    public override async Task<V1.Topic> CreateTopic(V1.CreateTopicRequest request, ServerCallContext context) =>
        TopologyMessages.ToMessage(await Controller
            .CreateTopicAsync(request.Name, request.Partitions, TopicSettingsMessages.FromMessage(request.Settings), request.GeoLocations, request.AssignedSpus)
            .ConfigureAwait(false));

    public override async Task<V1.Topic> AlterTopic(V1.AlterTopicRequest request, ServerCallContext context)
    {
        if (request.HasTimeToLiveMs && !cluster.IsHub)
            throw new ClusterException(ErrorCode.WrongRole, "how long a record counts that flows down, the hub says; change it there");

        StreamController controller = Controller;
        TopicInfo topic = await controller.AlterTopicAsync(request.Name, settings => TopicSettingsMessages.Change(settings, request)).ConfigureAwait(false);
        V1.Topic answer = TopologyMessages.ToMessage(topic);
        if (request.HasReplicas)
            answer.PartitionsPending = await controller.CountPendingAsync(topic, context.CancellationToken).ConfigureAwait(false);

        return answer;
    }

    public override Task<V1.ListGapsResponse> ListGaps(V1.ListGapsRequest request, ServerCallContext context)
    {
        if (request.Topic.Length > 0 && !Current.Topics.ContainsKey(Names.CheckTopic(request.Topic)))
            throw ClusterException.TopicNotFound(request.Topic);

        if (request.GeoLocation.Length > 0 && !Current.GeoLocations.ContainsKey(request.GeoLocation))
            throw ClusterException.GeoLocationNotFound(request.GeoLocation);

        IEnumerable<Partition> partitions = Spu.Partitions.Where(partition => partition.IsOpen
            && (request.Topic.Length == 0 || partition.Id.Topic == request.Topic)
            && (request.GeoLocation.Length == 0 || partition.Info.GeoLocation == request.GeoLocation));
        return Task.FromResult(TopologyMessages.ToGaps(partitions, request.Skip));
    }

    public override async Task<V1.DeleteTopicResponse> DeleteTopic(V1.DeleteTopicRequest request, ServerCallContext context)
    {
        await Controller.DeleteTopicAsync(request.Name).ConfigureAwait(false);
        return new V1.DeleteTopicResponse();
    }

    public override async Task<V1.ListPartitionsResponse> ListPartitions(V1.ListPartitionsRequest request, ServerCallContext context)
    {
        if (request.Topic.Length > 0 && !Current.Topics.ContainsKey(Names.CheckTopic(request.Topic)))
            throw ClusterException.TopicNotFound(request.Topic);

        IEnumerable<Partition> asked = Spu.Partitions.Where(partition => request.Topic.Length == 0 || partition.Id.Topic == request.Topic);
        IReadOnlyList<V1.PartitionStatus> statuses = await TopologyMessages.ToStatusesAsync(asked, context.CancellationToken).ConfigureAwait(false);
        await ReplicaMessages.AddAsync(Spu, statuses, context.CancellationToken).ConfigureAwait(false);
        return new V1.ListPartitionsResponse { Partitions = { statuses } };
    }

    public override async Task<V1.RemoveSpuResponse> RemoveSpu(V1.RemoveSpuRequest request, ServerCallContext context)
    {
        await Controller.DeleteSpuAsync(request.Id).ConfigureAwait(false);
        return new V1.RemoveSpuResponse();
    }

    public override Task<V1.Invite> InviteGeoLocation(V1.InviteGeoLocationRequest request, ServerCallContext context)
    {
        Names.CheckGeoLocation(request.Name);
        if (request.ValidSeconds < 0 || request.ValidSeconds > MaxInviteValidity.TotalSeconds)
            throw new ClusterException(ErrorCode.InvalidArgument, "a token is valid for 1 second to 365 days");

        return Hub.InviteAsync(
            request.Name, request.ValidSeconds == 0 ? DefaultInviteValidity : TimeSpan.FromSeconds(request.ValidSeconds));
    }

    public override async Task<V1.GeoLocation> RevokeGeoLocation(V1.RevokeGeoLocationRequest request, ServerCallContext context)
    {
        await Hub.RevokeAsync(Names.CheckGeoLocation(request.Name)).ConfigureAwait(false);
        return TopologyMessages.ToMessage(Current.GeoLocations[request.Name], presence);
    }

    public override Task<V1.IssuedCertificate> IssueCertificate(V1.IssueCertificateRequest request, ServerCallContext context)
    {
        CallerRole role = request.Role switch
        {
            "admin" => CallerRole.Admin,
            "producer" => CallerRole.Producer,
            "consumer" => CallerRole.Consumer,
            _ => throw new ClusterException(ErrorCode.InvalidArgument, $"a role is admin, producer or consumer, not '{request.Role}'"),
        };
        return Task.FromResult(Hub.IssueCertificate(Names.CheckClient(request.Name), role));
    }

    public override async Task<V1.RevokeCertificateResponse> RevokeCertificate(V1.RevokeCertificateRequest request, ServerCallContext context)
    {
        // An edge has no certificates but its own.
        _ = Hub;
        await Controller.RevokeNameAsync(Names.CheckClient(request.Name)).ConfigureAwait(false);
        return new V1.RevokeCertificateResponse();
    }
}
