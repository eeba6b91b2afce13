using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Lets edges and clients into a hub or a cluster, and shuts them out: it signs with the CA's key, and writes down what it has signed. Who is in
/// tells <see cref="GeoLocationRights"/>. Safe from any thread.
/// </summary>
public sealed class HubAuthority(
    CertificateAuthority authority, GeoLocationRights rights, StreamController controller, ITopologyStore store, IStartTokenStore startTokens,
    TimeSpan geoLocationLife, TimeProvider time)
    : IHubAuthority, IDisposable
{
    /// <summary>How long a geo-location's certificate is valid unless the operator says otherwise.</summary>
    public static readonly TimeSpan DefaultGeoLocationLife = TimeSpan.FromDays(90);

    /// <summary>So that an edge has a minute and more to renew it in.</summary>
    public static readonly TimeSpan MinGeoLocationLife = TimeSpan.FromMinutes(5);

    public static readonly TimeSpan MaxGeoLocationLife = TimeSpan.FromDays(10 * 365);

    private static readonly TimeSpan ClientValidity = TimeSpan.FromDays(365);

    // Each change looks at what is known and writes something else in one step. Not disposed of: a change that is under way gives it back.
    private readonly SemaphoreSlim _changing = new(1);
    private readonly CancellationTokenSource _ended = new();

    /// <inheritdoc/>
    public async Task<V1.Invite> InviteAsync(string geoLocation, TimeSpan validity)
    {
        Names.CheckGeoLocation(geoLocation);
        await _changing.WaitAsync(_ended.Token).ConfigureAwait(false);
        try
        {
            if (!controller.Current.GeoLocations.ContainsKey(geoLocation))
                await controller.SaveGeoLocationAsync(new GeoLocationInfo(geoLocation, JoinedAt: null, Revoked: false)).ConfigureAwait(false);

            var token = new InviteToken(authority.Fingerprint, RandomNumberGenerator.GetBytes(InviteToken.SecretSize), geoLocation);
            DateTimeOffset expiresAt = time.GetUtcNow() + validity;
            await store.SaveInviteAsync(new Invite(InviteToken.HashOf(token.Secret), geoLocation, expiresAt, UsedAt: null)).ConfigureAwait(false);
            return new V1.Invite { Token = token.Format(), ExpiresAt = expiresAt.ToUnixTimeMilliseconds() };
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>
    /// Redeems a token: marks it as used, then signs the key. From then on only certificates of this key are accepted for the
    /// geo-location: a device that was replaced is out.
    /// </summary>
    /// <param name="secret">The token's.</param>
    /// <param name="key">What the edge has made and proved to hold.</param>
    /// <param name="card">The card that joins.</param>
    /// <exception cref="ClusterException">
    /// The token is unknown, used or expired; or the geo-location was filled from another card, and this one does not say that it
    /// replaces it: then the token stays good.
    /// </exception>
    public async Task<X509Certificate2> RedeemAsync(ReadOnlyMemory<byte> secret, PublicKey key, JoiningCard card)
    {
        await _changing.WaitAsync(_ended.Token).ConfigureAwait(false);
        try
        {
            Invite invite = store.FindInvite(InviteToken.HashOf(secret.Span))
                ?? throw new ClusterException(ErrorCode.TokenUnknown, "this hub has not issued the token; ask for a new one");
            DateTimeOffset now = time.GetUtcNow();
            if (invite.UsedAt is { } used)
                throw new ClusterException(ErrorCode.TokenUsed, $"the token was used at {used:u}, and works once; ask for a new one");

            if (invite.ExpiresAt < now)
                throw new ClusterException(ErrorCode.TokenExpired, $"the token expired at {invite.ExpiresAt:u}; ask for a new one");

            await CheckCardAsync(invite.GeoLocation, card).ConfigureAwait(false);
            await store.SaveInviteAsync(invite with { UsedAt = now }).ConfigureAwait(false);
            var joined = new GeoLocationInfo(invite.GeoLocation, now, Revoked: false, CertificateRoles.FingerprintOf(key));
            authority.Withdrawn.Remove(joined.KeyFingerprint!);
            X509Certificate2 certificate = Sign(joined.Name, key);

            // Before the metadata says so: from then on it does not know the former ones.
            foreach (string former in rights.KeysOf(joined.Name).Where(former => former != joined.KeyFingerprint))
                authority.Withdrawn.Add(former, Withdrawal.Replaced, joined.Name);

            await SaveIssuedAsync(joined, certificate).ConfigureAwait(false);

            // Only now that the former card is out: one that came in between would leave a token that the new card does not have.
            await startTokens.UpdateStartTokensAsync(joined.Name, _ => null).ConfigureAwait(false);
            return certificate;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>
    /// Signs the key of a geo-location's certificate anew, which may have expired, once a third of the life is left. The former
    /// certificate stays good for as long as it was: an edge that never receives the new one goes on with it.
    /// </summary>
    /// <param name="presented">The certificate whose key the caller has proved to hold.</param>
    /// <param name="heldUntil">When the newest certificate that the caller holds ends.</param>
    /// <exception cref="ClusterException">It is none of a geo-location's, or one that must not go on.</exception>
    public async Task<Renewal> RenewAsync(X509Certificate2 presented, DateTimeOffset heldUntil)
    {
        await _changing.WaitAsync(_ended.Token).ConfigureAwait(false);
        try
        {
            CallerIdentity caller = rights.Authenticate(presented);
            if (caller.Role is not (CallerRole.GeoLocation or CallerRole.ExpiredGeoLocation))
            {
                throw new ClusterException(
                    ErrorCode.Unauthenticated, $"the certificate is not renewed: {caller.Problem ?? "it is none of a geo-location's"}");
            }

            // More than a whole life is left of one that was issued under another setting, or by a clock that was ahead.
            TimeSpan left = heldUntil - time.GetUtcNow(), third = geoLocationLife / 3;
            if (left > third && left <= geoLocationLife)
                return new Renewal(null, left - third);

            X509Certificate2 certificate = Sign(caller.Name, presented.PublicKey);
            await SaveIssuedAsync(controller.Current.GeoLocations.GetValueOrDefault(caller.Name) ?? GeoLocationInfo.Lost(caller.Name), certificate)
                .ConfigureAwait(false);
            return new Renewal(certificate, geoLocationLife - third);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <inheritdoc/>
    public async Task RevokeAsync(string geoLocation)
    {
        await _changing.WaitAsync(_ended.Token).ConfigureAwait(false);
        try
        {
            GeoLocationInfo known = controller.Current.GeoLocations.GetValueOrDefault(geoLocation)
                ?? throw ClusterException.GeoLocationNotFound(geoLocation);
            await store.DeleteInvitesAsync(geoLocation).ConfigureAwait(false);

            // Before the metadata says so: it is what remains where that is lost.
            foreach (string key in rights.KeysOf(geoLocation))
                authority.Withdrawn.Add(key, Withdrawal.Revoked, geoLocation);

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
        if (controller.Current.RevokedNames.Contains(name))
            throw new ClusterException(ErrorCode.InvalidArgument, $"the certificates of '{name}' were revoked, this one would be refused too; choose another name");

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

    /// <summary>Ends the wait of those whose turn has not come.</summary>
    public void Dispose() => _ended.Cancel();

    private async Task CheckCardAsync(string geoLocation, JoiningCard card)
    {
        if (!card.Replaces && await MirrorOrigin.FindOtherAsync(controller, geoLocation, card.Incarnations).ConfigureAwait(false) is { } filled)
        {
            throw new ClusterException(
                ErrorCode.IncarnationMismatch,
                $"geo-location '{geoLocation}' has mirrored '{filled.Topic}' here from another card; nothing was changed, and the token is still "
                + "good: add --replace where this card takes the other's place, or join under a new name");
        }
    }

    private X509Certificate2 Sign(string geoLocation, PublicKey key) => authority.IssueClient(
        key, CertificateRoles.Subject(geoLocation, CertificateRoles.UnitOf(CallerRole.GeoLocation)), geoLocationLife);

    private Task SaveIssuedAsync(GeoLocationInfo geoLocation, X509Certificate2 certificate) =>
        controller.SaveGeoLocationAsync(geoLocation with { CertificateUntil = certificate.NotAfter });
}
