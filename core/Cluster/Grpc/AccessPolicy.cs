using System.Collections.Frozen;

namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// Who may call what: all of it in this one table. A method that it does not name is open to nobody but the local socket.
/// </summary>
public static class AccessPolicy
{
    private static readonly CallerRole[] Readers = [CallerRole.Consumer, CallerRole.Producer, CallerRole.Admin];

    private static readonly FrozenDictionary<string, CallerRole[]> Allowed = new Dictionary<string, CallerRole[]>
    {
        ["/edgestream.v1.ControlPlane/GetTopology"] = Readers,
        ["/edgestream.v1.ControlPlane/ListPartitions"] = Readers,
        ["/edgestream.v1.ControlPlane/ListGaps"] = Readers,
        ["/edgestream.v1.ControlPlane/CreateTopic"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/AlterTopic"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/DeleteTopic"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/RemoveSpu"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/InviteGeoLocation"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/RevokeGeoLocation"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/IssueCertificate"] = [CallerRole.Admin],
        ["/edgestream.v1.ControlPlane/RevokeCertificate"] = [CallerRole.Admin],
        ["/edgestream.v1.DataPlane/Produce"] = [CallerRole.Producer, CallerRole.Admin],
        ["/edgestream.v1.DataPlane/Consume"] = [CallerRole.Consumer, CallerRole.Admin],
        ["/edgestream.v1.ConsumerGroups/Join"] = [CallerRole.Consumer, CallerRole.Admin],
        ["/edgestream.v1.ConsumerGroups/ListGroups"] = Readers,
        ["/edgestream.v1.ConsumerGroups/ResetGroup"] = [CallerRole.Admin],
        ["/edgestream.v1.ConsumerGroups/DeleteGroup"] = [CallerRole.Admin],
        ["/edgestream.v1.Mirror/Locate"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Mirror/Uplink"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Mirror/ListMirrored"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Mirror/ListBatches"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Downlink/Follow"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Live/Report"] = [CallerRole.GeoLocation],
        ["/edgestream.v1.Live/Latest"] = [CallerRole.Consumer, CallerRole.Admin],
        ["/edgestream.v1.SpuControl/Register"] = [CallerRole.Spu],
        ["/edgestream.v1.SpuControl/EnsureMirrorPartition"] = [CallerRole.Spu],
        ["/edgestream.v1.SpuControl/EnsureGeoLocation"] = [CallerRole.Spu],
        ["/edgestream.v1.Enrolment/GetAuthority"] = [.. Enum.GetValues<CallerRole>()],
        ["/edgestream.v1.Enrolment/Join"] = [.. Enum.GetValues<CallerRole>()],
        ["/edgestream.v1.Enrolment/Renew"] = [CallerRole.GeoLocation, CallerRole.ExpiredGeoLocation],
    }.ToFrozenDictionary();

    /// <exception cref="ClusterException">The caller may not call the method.</exception>
    public static void Check(string method, CallerIdentity caller)
    {
        if (caller.Role == CallerRole.Local || (Allowed.TryGetValue(method, out CallerRole[]? roles) && roles.Contains(caller.Role)))
            return;

        string name = method[(method.LastIndexOf('/') + 1)..];
        throw caller switch
        {
            { Role: CallerRole.ExpiredGeoLocation } => new ClusterException(
                ErrorCode.CertificateExpired,
                $"the certificate of '{caller.Name}' has expired ({caller.Problem}); the edge renews it by itself"),
            { Problem: { } problem } => new ClusterException(ErrorCode.Unauthenticated, $"the client certificate was refused: {problem}"),
            { Role: CallerRole.Anonymous } => new ClusterException(
                ErrorCode.Unauthenticated, $"{name} needs a client certificate that this cluster issued"),
            _ => new ClusterException(
                ErrorCode.PermissionDenied,
                $"'{caller.Name}' ({NameOf(caller.Role)}) may not call {name}; that is for {(Allowed.TryGetValue(method, out CallerRole[]? may)
                    ? $"a certificate with the role {string.Join(" or ", may.Select(NameOf))}"
                    : "the local socket, on the node's machine")}"),
        };

        static string NameOf(CallerRole role) => role.ToString().ToLowerInvariant();
    }
}
