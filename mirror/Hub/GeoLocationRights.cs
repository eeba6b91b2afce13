using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Tells who callers are, and which right a geo-location still has. Needs neither the CA's key nor the metadata, so an SPU can tell it as well.
/// Safe from any thread.
/// </summary>
/// <param name="authority">The CA's certificate; stays the caller's.</param>
/// <param name="withdrawalOf">Why a key (<see cref="CertificateRoles.FingerprintOf"/>) does not count any more; null where it does.</param>
/// <param name="cluster">Has the geo-locations.</param>
/// <param name="time">Certificates are judged by it.</param>
/// <param name="metadataDecides">
/// Whether withdrawals count only where the metadata has no key of the geo-location: in a cluster another SC may have let the key in again since.
/// </param>
public sealed class GeoLocationRights(
    X509Certificate2 authority, Func<string, Withdrawal?> withdrawalOf, IClusterView cluster, TimeProvider time, bool metadataDecides = false)
    : ICallerAuthenticator
{
    // More cards than take each other's place one after another while the hub does not know which is the right one.
    private const int MaxKeysShown = 16;

    // The keys that were shown for each geo-location of which the metadata does not say which is its own, that shown last at the end.
    private readonly ConcurrentDictionary<string, ImmutableArray<string>> _keysShown = new(StringComparer.Ordinal);

    /// <inheritdoc/>
    /// <exception cref="ClusterException">This node knows no topology yet.</exception>
    public CallerIdentity Authenticate(X509Certificate2 certificate)
    {
        string? expired = FindProblem(certificate, time.GetUtcNow());
        if (expired is not null && FindProblem(certificate, at: null) is { } problem)
            return CallerIdentity.Rejected(problem);

        (string name, CallerRole role) = CertificateRoles.Read(certificate);

        // Who knows no geo-location would let in those that were revoked.
        if (role == CallerRole.GeoLocation && cluster.Current.ClusterId.Length == 0)
            throw new ClusterException(ErrorCode.Unavailable, "this node has not been told yet which geo-locations there are; try again, or ask another");

        return role switch
        {
            CallerRole.Anonymous => CallerIdentity.Rejected("it names no role"),
            CallerRole.GeoLocation when FindGeoLocationProblem(name, certificate) is { } refused => CallerIdentity.Rejected(refused, name),
            CallerRole.GeoLocation when expired is not null => FindRenewalProblem(name) is { } final
                ? CallerIdentity.Rejected($"{expired}, and {final}", name)
                : CallerIdentity.Expired(name, expired),
            _ when expired is not null => CallerIdentity.Rejected(expired),
            CallerRole.GeoLocation => new CallerIdentity(role, name, KeyFingerprint: CertificateRoles.FingerprintOf(certificate.PublicKey)),
            _ => new CallerIdentity(role, name),
        };
    }

    /// <summary>
    /// Checks that a geo-location that has passed the guard still may go on, by the key that it showed then: it may have been
    /// revoked since, or have joined again with another key. For calls that last, before each thing that they do.
    /// </summary>
    /// <exception cref="ClusterException">It may not.</exception>
    public void CheckRight(CallerIdentity caller)
    {
        string? problem = caller is { Role: CallerRole.GeoLocation, KeyFingerprint: { } shown }
            ? FindRightProblem(caller.Name, shown)
            : "this is for geo-locations only; join with a token";
        if (problem is not null)
            throw new ClusterException(ErrorCode.Unauthenticated, problem);
    }

    /// <summary>Why a certificate's signature under a geo-location's records does not count, or null where it does.</summary>
    /// <remarks>
    /// Stricter rules are for those who connect. What was signed may have been under way for long: a certificate that has expired
    /// since, or that another one has superseded since (the edge joined again), still says who measured, and the incarnation says
    /// from which log. What must not count is what a revoked geo-location signs: its key may be in other hands.
    /// </remarks>
    public string? FindSignerProblem(X509Certificate2 certificate, string geoLocation)
    {
        if (FindProblem(certificate, at: null) is { } problem)
            return problem;

        (string name, CallerRole role) = CertificateRoles.Read(certificate);
        return role == CallerRole.GeoLocation && name == geoLocation
            ? FindRevocation(name) ?? (WithdrawalOf(certificate) == Withdrawal.Revoked ? Revoked(name) : null)
            : $"the certificate is that of '{name}' ({role.ToString().ToLowerInvariant()}), the records are said to be those of geo-location '{geoLocation}'";
    }

    private string? FindGeoLocationProblem(string name, X509Certificate2 certificate)
    {
        string shown = CertificateRoles.FingerprintOf(certificate.PublicKey);
        string? problem = FindRightProblem(name, shown);
        if (problem is null && cluster.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is null)
            NoteShown(name, shown);

        return problem;
    }

    private void NoteShown(string name, string key) => _keysShown.AddOrUpdate(
        name,
        static (_, key) => [key],
        static (_, keys, key) => keys[^1] == key ? keys : [.. keys.Remove(key).TakeLast(MaxKeysShown - 1), key],
        key);

    /// <summary>
    /// The keys that have the right of a geo-location: the one of its last join, or, where the metadata was lost, all that have been
    /// shown to this process since.
    /// </summary>
    internal ImmutableArray<string> KeysOf(string name)
    {
        if (cluster.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is { } known)
            return [known];

        return _keysShown.TryGetValue(name, out ImmutableArray<string> shown) ? shown : [];
    }

    /// <summary>Why a key does not have the right of a geo-location, or null where it has: the one place that decides it.</summary>
    private string? FindRightProblem(string name, string shown)
    {
        if (FindRevocation(name) is { } problem)
            return problem;

        string? known = cluster.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint;
        string replaced = $"geo-location '{name}' has joined again since, with another key";
        if (known is not null && metadataDecides)
            return known == shown ? null : replaced;

        switch (withdrawalOf(shown))
        {
            // It says more than what is known of it now.
            case Withdrawal.Revoked when known is null:
                return Revoked(name);
            case not null:
                return replaced;
        }

        return known is not null && known != shown ? replaced : null;
    }

    private Withdrawal? WithdrawalOf(X509Certificate2 certificate) =>
        withdrawalOf(CertificateRoles.FingerprintOf(certificate.PublicKey));

    /// <summary>
    /// Where the metadata was lost, which keys were withdrawn is still known, of those that this version has withdrawn. Others that are
    /// still valid go on; those that have expired are many more, and stay out.
    /// </summary>
    private string? FindRenewalProblem(string name) => cluster.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is null
        ? "this hub has lost which key is that of the geo-location; join again with a new token"
        : null;

    /// <summary>That of a geo-location which is not known is judged by its key.</summary>
    private string? FindRevocation(string name) =>
        cluster.Current.GeoLocations.GetValueOrDefault(name) is { Revoked: true } ? Revoked(name) : null;

    private string? FindProblem(X509Certificate2 certificate, DateTimeOffset? at) =>
        PinnedChain.FindProblem(certificate, authority, CertificateRoles.ClientAuthentication, at);

    private static string Revoked(string name) => $"geo-location '{name}' was revoked";
}
