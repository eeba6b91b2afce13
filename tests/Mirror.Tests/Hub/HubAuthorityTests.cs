using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Hub;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Hub;

public sealed class HubAuthorityTests : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private readonly FakeTime _time = new();
    private readonly PublicKey _key = NewKey();
    private NodeParts _parts = null!;
    private CertificateAuthority _authority = null!;
    private HubParts _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        _authority = CertificateAuthority.Open(_temp.Path, _time);
        _hub = new HubParts(_authority, _parts, _time);
    }

    public async ValueTask DisposeAsync()
    {
        _hub.Dispose();
        _authority.Dispose();
        await _parts.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public async Task Token_gives_a_certificate_for_its_name()
    {
        InviteToken token = await InviteAsync("north");
        Assert.Equal(_authority.Fingerprint, token.AuthorityFingerprint);
        Assert.Null(_parts.Controller.Current.GeoLocations["north"].JoinedAt);

        X509Certificate2 certificate = await _hub.RedeemAsync(token.Secret, _key, JoiningCard.New);
        AssertIs("north", _hub.Rights.Authenticate(certificate), certificate);
        Assert.Equal(_time.Now, _parts.Controller.Current.GeoLocations["north"].JoinedAt);
    }

    [Fact]
    public async Task Token_works_once()
    {
        InviteToken token = await InviteAsync("north");
        await _hub.RedeemAsync(token.Secret, _key, JoiningCard.New);
        await AssertRefusedAsync(ErrorCode.TokenUsed, token.Secret);
    }

    [Fact]
    public async Task Of_many_that_redeem_a_token_at_once_one_succeeds()
    {
        InviteToken token = await InviteAsync("north");
        Task<X509Certificate2>[] redeems = [.. Enumerable.Range(0, 20).Select(_ => Task.Run(() => _hub.RedeemAsync(token.Secret, NewKey(), JoiningCard.New)))];
        await Task.WhenAll(redeems).ContinueWith(_ => { }, TaskScheduler.Default);
        Task<X509Certificate2> winner = Assert.Single(redeems, redeem => redeem.IsCompletedSuccessfully);
        Assert.Equal(CallerRole.GeoLocation, _hub.Rights.Authenticate(await winner).Role);
    }

    [Fact]
    public async Task Token_expires()
    {
        InviteToken token = await InviteAsync("north");
        _time.Now += TimeSpan.FromHours(1) + TimeSpan.FromSeconds(1);
        await AssertRefusedAsync(ErrorCode.TokenExpired, token.Secret);
    }

    [Fact]
    public Task Unknown_token_is_refused() => AssertRefusedAsync(ErrorCode.TokenUnknown, new byte[InviteToken.SecretSize]);

    [Fact]
    public async Task Joining_again_replaces_the_key()
    {
        X509Certificate2 old = await JoinAsync("north");
        X509Certificate2 current = await JoinAsync("north");
        Assert.Contains("joined again", _hub.Rights.Authenticate(old).Problem, StringComparison.Ordinal);
        Assert.Equal("north", _hub.Rights.Authenticate(current).Name);
    }

    [Fact]
    public async Task Invitation_of_a_geo_location_that_has_joined_leaves_its_certificate_good()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        await InviteAsync("north");
        Assert.Equal("north", _hub.Rights.Authenticate(certificate).Name);
    }

    [Fact]
    public async Task Revoked_geo_location_is_out_until_it_is_invited_anew()
    {
        X509Certificate2 old = await JoinAsync("north");
        InviteToken outstanding = await InviteAsync("north");
        await _hub.RevokeAsync("north");
        Assert.Contains("revoked", _hub.Rights.Authenticate(old).Problem, StringComparison.Ordinal);
        await AssertRefusedAsync(ErrorCode.TokenUnknown, outstanding.Secret);

        X509Certificate2 current = await JoinAsync("north");
        Assert.Equal("north", _hub.Rights.Authenticate(current).Name);
        Assert.NotNull(_hub.Rights.Authenticate(old).Problem);
        Assert.Equal(ErrorCode.GeoLocationNotFound, (await Assert.ThrowsAsync<ClusterException>(() => _hub.RevokeAsync("south"))).Code);
    }

    [Fact]
    public async Task Certificate_expires_by_the_hubs_clock()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        _time.Now += TimeSpan.FromDays(89);
        AssertIs("north", _hub.Rights.Authenticate(certificate), certificate);
        _time.Now += TimeSpan.FromDays(2);
        CallerIdentity expired = _hub.Rights.Authenticate(certificate);
        Assert.Equal((CallerRole.ExpiredGeoLocation, "north"), (expired.Role, expired.Name));
        Assert.Contains("valid until", expired.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Renewal_is_due_when_a_third_of_the_life_is_left()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        _time.Now += TimeSpan.FromDays(59);
        Renewal early = await _hub.RenewAsync(certificate, certificate.NotAfter);
        Assert.Null(early.Certificate);
        Assert.Equal(TimeSpan.FromDays(1), early.AskAgain);

        _time.Now += early.AskAgain;
        Renewal due = await _hub.RenewAsync(certificate, certificate.NotAfter);
        Assert.Equal(_time.Now + TimeSpan.FromDays(90), due.Certificate!.NotAfter.ToUniversalTime());
        Assert.Equal(TimeSpan.FromDays(60), due.AskAgain);
        Assert.Equal(certificate.PublicKey.ExportSubjectPublicKeyInfo(), due.Certificate.PublicKey.ExportSubjectPublicKeyInfo());
        Assert.Equal("north", _hub.Rights.Authenticate(due.Certificate).Name);
        GeoLocationInfo known = _parts.Controller.Current.GeoLocations["north"];
        Assert.Equal(due.Certificate.NotAfter.ToUniversalTime(), known.CertificateUntil!.Value.UtcDateTime);

        // The connection shows the former one until it is made anew: what is held counts.
        Assert.Null((await _hub.RenewAsync(certificate, due.Certificate.NotAfter)).Certificate);
        Assert.Equal("north", _hub.Rights.Authenticate(certificate).Name);
    }

    [Fact]
    public async Task Certificate_from_a_time_when_the_hubs_clock_was_ahead_is_renewed_at_once()
    {
        _time.Now += TimeSpan.FromDays(3650);
        X509Certificate2 certificate = await JoinAsync("north");
        _time.Now -= TimeSpan.FromDays(3650);
        Assert.NotNull((await _hub.RenewAsync(certificate, certificate.NotAfter)).Certificate);
    }

    [Fact]
    public async Task Hub_whose_clock_is_not_set_issues_nothing_and_says_so()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        _time.Now = DateTimeOffset.UnixEpoch;
        var refused = await Assert.ThrowsAsync<ClusterException>(() => _hub.RenewAsync(certificate, DateTimeOffset.UnixEpoch));
        Assert.Contains("clock stands at 1970-01-01", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Expired_certificate_of_a_client_is_nobodys()
    {
        V1.IssuedCertificate issued = _hub.IssueCertificate("someone", CallerRole.Admin);
        using var certificate = X509Certificate2.CreateFromPem(issued.CertificatePem);
        await AssertNotRenewedAsync(certificate);
        _time.Now += TimeSpan.FromDays(366);
        Assert.Equal(CallerRole.Anonymous, _hub.Rights.Authenticate(certificate).Role);
        await AssertNotRenewedAsync(certificate);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(100)]
    public async Task Revoked_geo_location_and_replaced_card_are_not_renewed(int days)
    {
        X509Certificate2 old = await JoinAsync("north");
        X509Certificate2 current = await JoinAsync("north");
        _time.Now += TimeSpan.FromDays(days);
        Assert.Contains("joined again", await AssertNotRenewedAsync(old), StringComparison.Ordinal);
        Assert.NotNull((await _hub.RenewAsync(current, DateTimeOffset.UnixEpoch)).Certificate);

        await _hub.RevokeAsync("north");
        Assert.Contains("revoked", await AssertNotRenewedAsync(current), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hub_that_has_lost_its_metadata_renews_what_is_still_valid_and_nothing_else()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        await _parts.Controller.SaveGeoLocationAsync(new GeoLocationInfo("north", DateTimeOffset.UnixEpoch, Revoked: false));
        Assert.NotNull((await _hub.RenewAsync(certificate, DateTimeOffset.UnixEpoch)).Certificate);
        _time.Now += TimeSpan.FromDays(100);
        Assert.Contains("join again", await AssertNotRenewedAsync(certificate), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hub_that_has_lost_its_metadata_keeps_out_those_that_were_revoked_or_replaced()
    {
        X509Certificate2 replaced = await JoinAsync("north"), current = await JoinAsync("north"), revoked = await JoinAsync("south");
        await _hub.RevokeAsync("south");
        foreach (string name in (string[])["north", "south"])
            await _parts.Controller.SaveGeoLocationAsync(new GeoLocationInfo(name, DateTimeOffset.UnixEpoch, Revoked: false));

        using CertificateAuthority reopened = CertificateAuthority.Open(_temp.Path, _time);
        using var hub = new HubParts(reopened, _parts, _time);
        Assert.Equal("geo-location 'north' has joined again since, with another key", hub.Rights.Authenticate(replaced).Problem);
        Assert.Equal("geo-location 'south' was revoked", hub.Rights.Authenticate(revoked).Problem);
        Assert.Equal("north", hub.Rights.Authenticate(current).Name);
        Assert.Equal("geo-location 'south' was revoked", hub.Rights.FindSignerProblem(revoked, "south"));
        Assert.Null(hub.Rights.FindSignerProblem(replaced, "north"));
    }

    [Fact]
    public async Task Hub_of_which_only_the_authority_is_left_lets_its_geo_locations_in_but_none_that_was_revoked_or_replaced()
    {
        X509Certificate2 replaced = await JoinAsync("north"), current = await JoinAsync("north"), revoked = await JoinAsync("south");
        await _hub.RevokeAsync("south");
        using var empty = new TempDirectory();
        await using NodeParts parts = await NodeParts.StartAsync(empty.Path, isHub: true);
        using var hub = new HubParts(_authority, parts, _time);
        Assert.Equal("geo-location 'north' has joined again since, with another key", hub.Rights.Authenticate(replaced).Problem);
        Assert.Equal("geo-location 'south' was revoked", hub.Rights.Authenticate(revoked).Problem);
        AssertIs("north", hub.Rights.Authenticate(current), current);
        Assert.NotNull((await hub.RenewAsync(current, DateTimeOffset.UnixEpoch)).Certificate);

        await hub.Parts.Controller.EnsureGeoLocationAsync("north");
        Assert.Equal(new GeoLocationInfo("north", DateTimeOffset.UnixEpoch, Revoked: false), parts.Controller.Current.GeoLocations["north"] with { CertificateUntil = null });

        // Shut out now, it stays out though the metadata is lost again.
        hub.Rights.Authenticate(current);
        await hub.RevokeAsync("north");
        using var emptyAgain = new TempDirectory();
        await using NodeParts again = await NodeParts.StartAsync(emptyAgain.Path, isHub: true);
        using var third = new HubParts(_authority, again, _time);
        Assert.Equal("geo-location 'north' was revoked", third.Rights.Authenticate(current).Problem);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Keys_that_were_shown_after_a_loss_of_the_metadata_are_out_after_the_next_one_where_they_were_replaced_or_revoked(bool revoked)
    {
        // The hub has lost its metadata before the second card joined: it cannot know the first one's key.
        X509Certificate2 first = await JoinAsync("north"), second = null!, third = null!;
        await AfterLossAsync(async hub => second = await JoinAsync("north", hub));
        await AfterLossAsync(async hub =>
        {
            foreach (X509Certificate2 shown in (X509Certificate2[])[first, second, first])
                Assert.Equal("north", hub.Rights.Authenticate(shown).Name);

            if (revoked)
            {
                await hub.Parts.Controller.EnsureGeoLocationAsync("north");
                await hub.RevokeAsync("north");
            }

            third = await JoinAsync("north", hub);
            Assert.Null(hub.Rights.Authenticate(third).Problem);
        });
        await AfterLossAsync(hub =>
        {
            string problem = revoked ? "geo-location 'north' was revoked" : "geo-location 'north' has joined again since, with another key";
            Assert.Equal([problem, problem, null], new[] { first, second, third }.Select(card => hub.Rights.Authenticate(card).Problem));
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task Card_that_joins_again_with_its_key_after_a_loss_of_the_metadata_is_not_withdrawn()
    {
        X509Certificate2 card = await _hub.RedeemAsync((await InviteAsync("north")).Secret, _key, JoiningCard.New);
        await AfterLossAsync(async hub =>
        {
            hub.Rights.Authenticate(card);
            X509Certificate2 again = await hub.RedeemAsync((await InviteAsync("north", hub)).Secret, _key, JoiningCard.New);
            AssertIs("north", hub.Rights.Authenticate(again), again);
        });
        await AfterLossAsync(hub =>
        {
            AssertIs("north", hub.Rights.Authenticate(card), card);
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task Expired_certificate_of_a_geo_location_that_is_not_known_is_not_renewed()
    {
        X509Certificate2 certificate = await JoinAsync("north");
        using var empty = new TempDirectory();
        await using NodeParts parts = await NodeParts.StartAsync(empty.Path, isHub: true);
        using var hub = new HubParts(_authority, parts, _time);
        _time.Now += TimeSpan.FromDays(100);
        CallerIdentity caller = hub.Rights.Authenticate(certificate);
        Assert.Equal((CallerRole.Anonymous, "north"), (caller.Role, caller.Name));
        Assert.Contains("join again", caller.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_a_revoked_key_signed_does_not_count_though_its_geo_location_has_joined_again()
    {
        X509Certificate2 stolen = await JoinAsync("north");
        await _hub.RevokeAsync("north");
        X509Certificate2 current = await JoinAsync("north");
        Assert.Equal("geo-location 'north' was revoked", _hub.Rights.FindSignerProblem(stolen, "north"));
        Assert.Null(_hub.Rights.FindSignerProblem(current, "north"));
    }

    [Fact]
    public async Task Key_that_is_let_in_again_counts_again()
    {
        await _hub.RedeemAsync((await InviteAsync("north")).Secret, _key, JoiningCard.New);
        await _hub.RevokeAsync("north");
        X509Certificate2 again = await _hub.RedeemAsync((await InviteAsync("north")).Secret, _key, JoiningCard.New);
        Assert.Equal("north", _hub.Rights.Authenticate(again).Name);
    }

    [Theory]
    [InlineData(CallerRole.Admin)]
    [InlineData(CallerRole.Producer)]
    [InlineData(CallerRole.Consumer)]
    public void Issued_certificate_has_its_role_and_key(CallerRole role)
    {
        V1.IssuedCertificate issued = _hub.IssueCertificate("someone", role);
        using var certificate = X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem);
        Assert.Equal(new CallerIdentity(role, "someone"), _hub.Rights.Authenticate(certificate));
        Assert.Equal(_authority.CertificatePem, issued.AuthorityPem);
    }

    [Fact]
    public void Servers_own_certificate_is_nobodys()
    {
        using X509Certificate2 certificate = _authority.IssueServer(["localhost"], TimeSpan.FromDays(1));
        Assert.Equal(CallerRole.Anonymous, _hub.Rights.Authenticate(certificate).Role);
        Assert.NotNull(_hub.Rights.Authenticate(certificate).Problem);
    }

    [Fact]
    public void Certificate_of_another_authority_is_nobodys()
    {
        using var foreign = new TempDirectory();
        using CertificateAuthority other = CertificateAuthority.Open(foreign.Path, _time);
        using var hub = new HubParts(other, _parts, _time);
        V1.IssuedCertificate issued = hub.IssueCertificate("admin", CallerRole.Admin);
        using var certificate = X509Certificate2.CreateFromPem(issued.CertificatePem);
        Assert.Equal("it was not issued by this cluster's CA", _hub.Rights.Authenticate(certificate).Problem);
    }

    [Fact]
    public async Task Right_that_a_call_began_with_ends_when_the_key_is_replaced_or_revoked()
    {
        CallerIdentity replaced = _hub.Rights.Authenticate(await JoinAsync("north"));
        _hub.Rights.CheckRight(replaced);
        CallerIdentity current = _hub.Rights.Authenticate(await JoinAsync("north"));
        Assert.Contains("joined again", AssertHasNoRight(replaced), StringComparison.Ordinal);
        _hub.Rights.CheckRight(current);

        // Where the metadata was lost, the withdrawal remains.
        await _parts.Controller.SaveGeoLocationAsync(new GeoLocationInfo("north", DateTimeOffset.UnixEpoch, Revoked: false));
        AssertHasNoRight(replaced);
        _hub.Rights.CheckRight(current);

        await _hub.RevokeAsync("north");
        Assert.Contains("revoked", AssertHasNoRight(current), StringComparison.Ordinal);
        AssertHasNoRight(new CallerIdentity(CallerRole.Admin, "north"));
        AssertHasNoRight(CallerIdentity.Local);
    }

    private string AssertHasNoRight(CallerIdentity caller)
    {
        var refused = Assert.Throws<ClusterException>(() => _hub.Rights.CheckRight(caller));
        Assert.Equal(ErrorCode.Unauthenticated, refused.Code);
        return refused.Message;
    }

    private static void AssertIs(string geoLocation, CallerIdentity caller, X509Certificate2 shown) => Assert.Equal(
        new CallerIdentity(CallerRole.GeoLocation, geoLocation, KeyFingerprint: CertificateRoles.FingerprintOf(shown.PublicKey)), caller);

    private async Task<InviteToken> InviteAsync(string name, HubParts? hub = null) =>
        InviteToken.Parse((await (hub ?? _hub).InviteAsync(name, TimeSpan.FromHours(1))).Token);

    private async Task<X509Certificate2> JoinAsync(string name, HubParts? hub = null) =>
        await (hub ?? _hub).RedeemAsync((await InviteAsync(name, hub)).Secret, NewKey(), JoiningCard.New);

    /// <summary>What happens at a hub of which only the authority is left.</summary>
    private async Task AfterLossAsync(Func<HubParts, Task> happensAsync)
    {
        using var empty = new TempDirectory();
        await using NodeParts parts = await NodeParts.StartAsync(empty.Path, isHub: true);
        using var hub = new HubParts(_authority, parts, _time);
        await happensAsync(hub);
    }

    private async Task<string> AssertNotRenewedAsync(X509Certificate2 certificate)
    {
        var refused = await Assert.ThrowsAsync<ClusterException>(() => _hub.RenewAsync(certificate, DateTimeOffset.UnixEpoch));
        Assert.Equal(ErrorCode.Unauthenticated, refused.Code);
        return refused.Message;
    }

    private async Task AssertRefusedAsync(ErrorCode code, byte[] secret) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<ClusterException>(() => _hub.RedeemAsync(secret, _key, JoiningCard.New))).Code);

    private static PublicKey NewKey()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new PublicKey(key);
    }

    /// <summary>What lets in, and what tells who is in.</summary>
    private sealed class HubParts : IDisposable
    {
        private readonly HubAuthority _issuer;

        public HubParts(CertificateAuthority authority, NodeParts parts, TimeProvider time)
        {
            Parts = parts;
            Rights = new GeoLocationRights(authority.Certificate, authority.Withdrawn.ReasonOf, parts.Controller, time);
            _issuer = new HubAuthority(authority, Rights, parts.Controller, parts.Store, parts.Store, TimeSpan.FromDays(90), time);
        }

        public NodeParts Parts { get; }

        public GeoLocationRights Rights { get; }

        public Task<V1.Invite> InviteAsync(string geoLocation, TimeSpan validity) => _issuer.InviteAsync(geoLocation, validity);

        public Task<X509Certificate2> RedeemAsync(ReadOnlyMemory<byte> secret, PublicKey key, JoiningCard card) => _issuer.RedeemAsync(secret, key, card);

        public Task<Renewal> RenewAsync(X509Certificate2 presented, DateTimeOffset heldUntil) => _issuer.RenewAsync(presented, heldUntil);

        public Task RevokeAsync(string geoLocation) => _issuer.RevokeAsync(geoLocation);

        public V1.IssuedCertificate IssueCertificate(string name, CallerRole role) => _issuer.IssueCertificate(name, role);

        public void Dispose() => _issuer.Dispose();
    }
}
