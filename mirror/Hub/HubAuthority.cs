using System.Collections.Concurrent;
using System.Collections.Immutable;
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
    CertificateAuthority authority, StreamController controller, ITopologyStore store, IStartTokenStore startTokens, TimeSpan geoLocationLife,
    TimeProvider time)
    : IHubAuthority, ICallerAuthenticator, IDisposable
{
    /// <summary>How long a geo-location's certificate is valid unless the operator says otherwise.</summary>
    public static readonly TimeSpan DefaultGeoLocationLife = TimeSpan.FromDays(90);

    /// <summary>So that an edge has a minute and more to renew it in.</summary>
    public static readonly TimeSpan MinGeoLocationLife = TimeSpan.FromMinutes(5);

    public static readonly TimeSpan MaxGeoLocationLife = TimeSpan.FromDays(10 * 365);

    private static readonly TimeSpan ClientValidity = TimeSpan.FromDays(365);

    // More cards than take each other's place one after another while the hub does not know which is the right one.
    private const int MaxKeysShown = 16;

    // The keys that were shown for each geo-location of which the metadata does not say which is its own, that shown last at the end.
    private readonly ConcurrentDictionary<string, ImmutableArray<string>> _keysShown = new(StringComparer.Ordinal);

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

            CheckCard(invite.GeoLocation, card);
            await store.SaveInviteAsync(invite with { UsedAt = now }).ConfigureAwait(false);
            var joined = new GeoLocationInfo(invite.GeoLocation, now, Revoked: false, CertificateRoles.FingerprintOf(key));
            authority.Withdrawn.Remove(joined.KeyFingerprint!);
            X509Certificate2 certificate = Sign(joined.Name, key);

            // Before the metadata says so: from then on it does not know the former ones.
            foreach (string former in KeysOf(joined.Name).Where(former => former != joined.KeyFingerprint))
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
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            CallerIdentity caller = Authenticate(presented);
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
            await SaveIssuedAsync(controller.Current.GeoLocations.GetValueOrDefault(caller.Name) ?? Lost(caller.Name), certificate)
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
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            GeoLocationInfo known = controller.Current.GeoLocations.GetValueOrDefault(geoLocation)
                ?? throw ClusterException.GeoLocationNotFound(geoLocation);
            await store.DeleteInvitesAsync(geoLocation).ConfigureAwait(false);

            // Before the metadata says so: it is what remains where that is lost.
            foreach (string key in KeysOf(geoLocation))
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
        string? expired = authority.FindProblem(certificate);
        if (expired is not null && authority.FindProblemAtAnyTime(certificate) is { } problem)
            return CallerIdentity.Rejected(problem);

        (string name, CallerRole role) = CertificateRoles.Read(certificate);
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

    /// <summary>
    /// Has a geo-location that has proved its name in the metadata. It is not there where the metadata was lost or is older than the
    /// geo-location: no other way leads out of it, and who was shut out is told by the keys that were withdrawn.
    /// </summary>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task EnsureKnownAsync(string geoLocation)
    {
        if (controller.Current.GeoLocations.ContainsKey(geoLocation))
            return;

        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!controller.Current.GeoLocations.ContainsKey(geoLocation))
                await controller.SaveGeoLocationAsync(Lost(geoLocation)).ConfigureAwait(false);
        }
        finally
        {
            _changing.Release();
        }
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
            ? FindRevocation(name) ?? (WithdrawalOf(certificate) == Withdrawal.Revoked ? Revoked(name) : null)
            : $"the certificate is that of '{name}' ({role.ToString().ToLowerInvariant()}), the records are said to be those of geo-location '{geoLocation}'";
    }

    public void Dispose() => _changing.Dispose();

    private void CheckCard(string geoLocation, JoiningCard card)
    {
        if (!card.Replaces && MirrorOrigin.FindOther(controller, geoLocation, card.Incarnations) is { } filled)
        {
            throw new ClusterException(
                ErrorCode.IncarnationMismatch,
                $"geo-location '{geoLocation}' has mirrored '{filled.Topic}' here from another card; nothing was changed, and the token is still "
                + "good: add --replace where this card takes the other's place, or join under a new name");
        }
    }

    private string? FindGeoLocationProblem(string name, X509Certificate2 certificate)
    {
        string shown = CertificateRoles.FingerprintOf(certificate.PublicKey);
        string? problem = FindRightProblem(name, shown);
        if (problem is null && controller.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is null)
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
    private ImmutableArray<string> KeysOf(string name)
    {
        if (controller.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is { } known)
            return [known];

        return _keysShown.TryGetValue(name, out ImmutableArray<string> shown) ? shown : [];
    }

    /// <summary>Why a key does not have the right of a geo-location, or null where it has: the one place that decides it.</summary>
    private string? FindRightProblem(string name, string shown)
    {
        if (FindRevocation(name) is { } problem)
            return problem;

        string? known = controller.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint;
        string replaced = $"geo-location '{name}' has joined again since, with another key";
        switch (authority.Withdrawn.ReasonOf(shown))
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
        authority.Withdrawn.ReasonOf(CertificateRoles.FingerprintOf(certificate.PublicKey));

    /// <summary>
    /// Where the metadata was lost, which keys were withdrawn is still known, of those that this version has withdrawn. Others that are
    /// still valid go on; those that have expired are many more, and stay out.
    /// </summary>
    private string? FindRenewalProblem(string name) => controller.Current.GeoLocations.GetValueOrDefault(name)?.KeyFingerprint is null
        ? "this hub has lost which key is that of the geo-location; join again with a new token"
        : null;

    private X509Certificate2 Sign(string geoLocation, PublicKey key) => authority.IssueClient(
        key, CertificateRoles.Subject(geoLocation, CertificateRoles.UnitOf(CallerRole.GeoLocation)), geoLocationLife);

    private Task SaveIssuedAsync(GeoLocationInfo geoLocation, X509Certificate2 certificate) =>
        controller.SaveGeoLocationAsync(geoLocation with { CertificateUntil = certificate.NotAfter });

    /// <summary>That of a geo-location which is not known is judged by its key.</summary>
    private string? FindRevocation(string name) =>
        controller.Current.GeoLocations.GetValueOrDefault(name) is { Revoked: true } ? Revoked(name) : null;

    /// <summary>What is known of a geo-location that the metadata has lost; as of those that are rebuilt from their partitions.</summary>
    private static GeoLocationInfo Lost(string name) => new(name, DateTimeOffset.UnixEpoch, Revoked: false);

    private static string Revoked(string name) => $"geo-location '{name}' was revoked";
}
