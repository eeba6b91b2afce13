namespace EdgeStream.Cluster.Grpc;

/// <summary>What only a hub can do: let edges and clients in. An edge has none.</summary>
public interface IHubAuthority
{
    /// <summary>
    /// Makes a one-time token with which an edge joins as <paramref name="geoLocation"/>; one that has joined before is
    /// replaced when the token is redeemed.
    /// </summary>
    Task<V1.Invite> InviteAsync(string geoLocation, TimeSpan validity);

    /// <summary>
    /// Ends a geo-location's right to mirror, at once; tokens for it that were not redeemed yet are void. What it has mirrored
    /// stays.
    /// </summary>
    Task RevokeAsync(string geoLocation);

    /// <summary>Issues a client certificate, and makes the key for it.</summary>
    /// <exception cref="ClusterException">The name was revoked.</exception>
    V1.IssuedCertificate IssueCertificate(string name, CallerRole role);
}
