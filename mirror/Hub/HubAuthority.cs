using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Mirror.Hub;

/// <summary>Lets edges and clients into a hub, and tells who they are. Safe from any thread.</summary>
public sealed class HubAuthority(
    CertificateAuthority authority, StreamController controller, IMetadataStore store, TimeProvider time)
    : IHubAuthority, ICallerAuthenticator, IDisposable
{
    private static readonly TimeSpan GeoLocationValidity = TimeSpan.FromDays(2 * 365);
    private static readonly TimeSpan ClientValidity = TimeSpan.FromDays(365);

    // Each change looks at what is known and writes something else in one step.
    private readonly SemaphoreSlim _changing = new(1);

    /// <inheritdoc/>
    public async Task<V1.Invite> InviteAsync(string geoLocation, TimeSpan validity)
    {
        Names.CheckGeoLocation(geoLocation);
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!controller.Current.GeoLocations.ContainsKey(geoLocation))
                await controller.SaveGeoLocationAsync(new GeoLocationInfo(geoLocation, JoinedAt: null, Revoked: false)).ConfigureAwait(false);

            var token = new InviteToken(authority.Fingerprint, RandomNumberGenerator.GetBytes(InviteToken.SecretSize), geoLocation);
            DateTimeOffset expiresAt = time.GetUtcNow() + validity;
            store.SaveInvite(new Invite(InviteToken.HashOf(token.Secret), geoLocation, expiresAt, UsedAt: null));
            return new V1.Invite { Token = token.Format(), ExpiresAt = expiresAt.ToUnixTimeMilliseconds() };
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>
    /// Redeems a token: marks it as used, then signs the key. From then on this certificate is the only one that is accepted for
    /// the geo-location: a device that was replaced is out.
    /// </summary>
    /// <exception cref="ClusterException">The token is unknown, used or expired.</exception>
    public async Task<X509Certificate2> RedeemAsync(ReadOnlyMemory<byte> secret, PublicKey key)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            Invite invite = store.FindInvite(InviteToken.HashOf(secret.Span))
                ?? throw new ClusterException(ErrorCode.TokenUnknown, "this hub has not issued the token; ask for a new one");
            DateTimeOffset now = time.GetUtcNow();
            if (invite.UsedAt is { } used)
                throw new ClusterException(ErrorCode.TokenUsed, $"the token was used at {used:u}, and works once; ask for a new one");

            if (invite.ExpiresAt < now)
                throw new ClusterException(ErrorCode.TokenExpired, $"the token expired at {invite.ExpiresAt:u}; ask for a new one");

            store.SaveInvite(invite with { UsedAt = now });
            X509Certificate2 certificate = authority.IssueClient(
                key,
                CertificateRoles.Subject(invite.GeoLocation, CertificateRoles.UnitOf(CallerRole.GeoLocation)),
                GeoLocationValidity);
            await controller
                .SaveGeoLocationAsync(new GeoLocationInfo(invite.GeoLocation, now, Revoked: false, certificate.SerialNumber))
                .ConfigureAwait(false);
            return certificate;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <inheritdoc/>
    public async Task RevokeAsync(string geoLocation)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            GeoLocationInfo known = controller.Current.GeoLocations.GetValueOrDefault(geoLocation)
                ?? throw ClusterException.GeoLocationNotFound(geoLocation);
            store.DeleteInvites(geoLocation);
            await controller.SaveGeoLocationAsync(known with { Revoked = true }).ConfigureAwait(false);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <inheritdoc/>
    public V1.IssuedCertificate IssueCertificate(string name, CallerRole role)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(
            CertificateRoles.Subject(name, CertificateRoles.UnitOf(role)), key, HashAlgorithmName.SHA256);
        using X509Certificate2 certificate = authority.IssueClient(request.PublicKey, request.SubjectName, ClientValidity);
        return new V1.IssuedCertificate
        {
            CertificatePem = certificate.ExportCertificatePem(),
            KeyPem = key.ExportPkcs8PrivateKeyPem(),
            AuthorityPem = authority.CertificatePem,
        };
    }

    /// <inheritdoc/>
    public CallerIdentity Authenticate(X509Certificate2 certificate)
    {
        if (authority.FindProblem(certificate) is { } problem)
            return CallerIdentity.Rejected(problem);

        (string name, CallerRole role) = CertificateRoles.Read(certificate);
        return role switch
        {
            CallerRole.Anonymous => CallerIdentity.Rejected("it names no role"),
            CallerRole.GeoLocation when FindGeoLocationProblem(name, certificate) is { } refused => CallerIdentity.Rejected(refused),
            _ => new CallerIdentity(role, name),
        };
    }

    /// <summary>Why a certificate's signature under a geo-location's records does not count, or null where it does.</summary>
    /// <remarks>
    /// Stricter rules are for those who connect. What was signed may have been under way for long: a certificate that has expired
    /// since, or that another one has superseded since (the edge joined again), still says who measured, and the incarnation says
    /// from which log. What must not count is what a revoked geo-location signs: its key may be in other hands.
    /// </remarks>
    public string? FindSignerProblem(X509Certificate2 certificate, string geoLocation)
    {
        if (authority.FindProblemAtAnyTime(certificate) is { } problem)
            return problem;

        (string name, CallerRole role) = CertificateRoles.Read(certificate);
        return role == CallerRole.GeoLocation && name == geoLocation
            ? FindRightProblem(name)
            : $"the certificate is that of '{name}' ({role.ToString().ToLowerInvariant()}), the records are said to be those of geo-location '{geoLocation}'";
    }

    public void Dispose() => _changing.Dispose();

    private string? FindGeoLocationProblem(string name, X509Certificate2 certificate)
    {
        if (FindRightProblem(name) is { } problem)
            return problem;

        return controller.Current.GeoLocations[name].CertificateSerial is { } serial && serial != certificate.SerialNumber
            ? $"geo-location '{name}' has joined again since, with another certificate"
            : null;
    }

    private string? FindRightProblem(string name) => controller.Current.GeoLocations.GetValueOrDefault(name) switch
    {
        null => $"geo-location '{name}' is unknown here",
        { Revoked: true } => $"geo-location '{name}' was revoked",
        _ => null,
    };
}
