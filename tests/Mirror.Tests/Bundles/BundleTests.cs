using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Bundles;

/// <summary>Out of an edge, into its hub: what is taken, what is refused, and that a refusal changes nothing.</summary>
public sealed class BundleTests : IAsyncLifetime
{
    private InProcessHub _hub = null!;
    private InProcessEdge _edge = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await InProcessHub.StartAsync();
        _edge = await InProcessEdge.JoinWithoutUplinkAsync(_hub, "north", "t");
    }

    public async ValueTask DisposeAsync()
    {
        await _edge.DisposeAsync();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Imported_records_are_the_edges_byte_for_byte_and_the_uplink_goes_on_behind_them()
    {
        await _edge.FillAsync("t", 300, size: 5000);
        (byte[] bundle, V1.ExportRange range) = await _edge.ExportAsync("t");
        long end = _edge.Log("t").Offsets.Durable;
        Assert.Equal((0, end - 1, 0), (range.Header.FirstOffset, range.Header.LastOffset, range.GoOnFrom));

        V1.ImportLogResponse done = await _hub.ImportAsync(bundle);
        Assert.Equal((end, end, 0), (done.AddedRecords, done.Durable, done.Partition));
        Assert.Equal(end, Copy!.Offsets.Durable);

        await _edge.FillAsync("t", 20);
        _edge.StartUplink();
        await _edge.IsMirroredAsync(_hub, "t");
        Assert.Null(_edge.Uplink.State.LastError);
        Assert.True(_edge.Uplink.State.SentBytes < bundle.Length / 2, "what the bundle had brought was sent again");
        Assert.Empty(Directory.GetFiles(_hub.Parts.DataDirectory, "import-*"));
    }

    [Fact]
    public async Task Second_import_changes_nothing_and_says_so()
    {
        await _edge.FillAsync("t", 30);
        (byte[] bundle, _) = await _edge.ExportAsync("t");
        V1.ImportLogResponse first = await _hub.ImportAsync(bundle);
        long appended = Copy!.AppendedBytes;

        V1.ImportLogResponse second = await _hub.ImportAsync(bundle);
        Assert.Equal((0, first.Durable), (second.AddedRecords, second.Durable));
        Assert.Equal(appended, Copy.AppendedBytes);
    }

    [Fact]
    public async Task What_overlaps_and_is_the_same_is_passed_over()
    {
        await _edge.FillAsync("t", 50);
        (byte[] early, _) = await _edge.ExportAsync("t");
        long half = (await _hub.ImportAsync(early)).Durable;
        await _edge.FillAsync("t", 50);
        (byte[] all, _) = await _edge.ExportAsync("t");

        V1.ImportLogResponse done = await _hub.ImportAsync(all);
        Assert.Equal(_edge.Log("t").Offsets.Durable - half, done.AddedRecords);
        Assert.Equal(0, (await _hub.ImportAsync(early)).AddedRecords);
        _edge.StartUplink();
        await _edge.IsMirroredAsync(_hub, "t");
    }

    [Fact]
    public async Task Parts_of_a_log_are_whole_batches_and_follow_each_other()
    {
        await _edge.FillAsync("t", 30); // batches of 1, 2, 3, 1, 2, 3 … records
        (byte[] head, V1.ExportRange first) = await _edge.ExportAsync("t", to: 2);
        Assert.Equal((0, 2), (first.Header.FirstOffset, first.Header.LastOffset));
        (byte[] middle, V1.ExportRange second) = await _edge.ExportAsync("t", from: 4, to: 7);
        Assert.Equal((3, 6), (second.Header.FirstOffset, second.Header.LastOffset));
        (byte[] rest, _) = await _edge.ExportAsync("t", from: 7);
        foreach (byte[] part in (byte[][])[head, middle, rest])
            await _hub.ImportAsync(part);

        _edge.StartUplink();
        await _edge.IsMirroredAsync(_hub, "t");
        Assert.Equal(0, _edge.Uplink.State.SentBytes);
    }

    [Fact]
    public async Task Range_without_records_is_refused()
    {
        Assert.Contains("there is nothing to export", (await Assert.ThrowsAsync<ClusterException>(() => _edge.ExportAsync("t"))).Message, StringComparison.Ordinal);
        await _edge.FillAsync("t", 3);
        await Assert.ThrowsAsync<ClusterException>(() => _edge.ExportAsync("t", from: 6));
        await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => _edge.ExportAsync("t", from: 7));
        await Assert.ThrowsAsync<OffsetOutOfRangeException>(() => _edge.ExportAsync("t", from: -1));
        await Assert.ThrowsAsync<ClusterException>(() => _edge.ExportAsync("t", from: 3, to: 3));
    }

    [Fact]
    public async Task Export_stops_before_lost_records_and_names_where_to_go_on()
    {
        await _edge.FillAsync("t", 300, size: 100);
        string segment = Directory.GetFiles(_edge.Log("t").Directory, "*.log").Order().ElementAt(1);
        long from = long.Parse(Path.GetFileNameWithoutExtension(segment), System.Globalization.CultureInfo.InvariantCulture);
        byte[] bytes = await File.ReadAllBytesAsync(segment);
        bytes[^200] ^= 1;
        await File.WriteAllBytesAsync(segment, bytes);

        // Found while it is read; known from then on.
        var found = await Assert.ThrowsAsync<ClusterException>(() => _edge.ExportAsync("t"));
        Assert.Contains("were lost while they were exported; export again", found.Message, StringComparison.Ordinal);
        (byte[] bundle, V1.ExportRange range) = await _edge.ExportAsync("t");
        Assert.InRange(range.LostFrom, from, range.GoOnFrom - 1);
        Assert.Equal(range.LostFrom - 1, range.Header.LastOffset);
        await _hub.ImportAsync(bundle);

        (_, V1.ExportRange rest) = await _edge.ExportAsync("t", from: range.GoOnFrom);
        Assert.Equal((range.GoOnFrom, _edge.Log("t").Offsets.Durable - 1, 0), (rest.Header.FirstOffset, rest.Header.LastOffset, rest.GoOnFrom));
    }

    [Fact]
    public async Task Bundle_that_is_cut_or_changed_anywhere_changes_nothing()
    {
        byte[] bundle = await SignedBundle.MakeAsync(_edge.Identity.Certificate, SignedBundle.Header(0, 0), Batches.At(0, "a"));
        for (int i = 0; i < bundle.Length; i++)
        {
            byte[] changed = [.. bundle];
            changed[i] ^= 0x11;
            await Assert.ThrowsAnyAsync<EdgeStreamException>(() => _hub.ImportAsync(changed));
            await Assert.ThrowsAnyAsync<EdgeStreamException>(() => _hub.ImportAsync(bundle[..i]));
        }

        Assert.Empty(_hub.Parts.Controller.Current.Topics);
        Assert.Equal(1, (await _hub.ImportAsync(bundle)).AddedRecords);
    }

    [Fact]
    public async Task Hole_before_the_bundle_is_refused_with_its_numbers()
    {
        byte[] late = await SignAsync(SignedBundle.Header(5, 5), Batches.At(5, "f"));
        await RefusesAsync(ErrorCode.OffsetConflict, "holds offsets 5 to 5 of 't' of 'north', but the hub's copy ends at 0: 5 records", late);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);

        await _hub.ImportAsync(await SignAsync(SignedBundle.Header(0, 2), Batches.At(0, "a", "b", "c")));
        await RefusesAsync(ErrorCode.OffsetConflict, "ends at 3: 2 records would be missing", late);
        Assert.Equal(["a", "b", "c"], Values);
    }

    [Fact]
    public async Task What_overlaps_and_differs_is_refused_before_anything_is_added()
    {
        await _hub.ImportAsync(await SignAsync(SignedBundle.Header(0, 3), Batches.At(0, "a", "b"), Batches.At(2, "c", "d")));

        byte[] other = await SignAsync(SignedBundle.Header(2, 4), Batches.At(2, "c", "X"), Batches.At(4, "e"));
        await RefusesAsync(ErrorCode.OffsetConflict, "batch at offsets 2 to 3 differs", other);
        byte[] split = await SignAsync(SignedBundle.Header(0, 4), Batches.At(0, "a"), Batches.At(1, "b"), Batches.At(2, "c", "d"), Batches.At(4, "e"));
        await RefusesAsync(ErrorCode.OffsetConflict, "batch at offsets 0 to 0 differs", split);
        byte[] across = await SignAsync(SignedBundle.Header(0, 4), Batches.At(0, "a", "b"), Batches.At(2, "c", "d", "e"));
        await RefusesAsync(ErrorCode.OffsetConflict, "batch at offsets 2 to 4 differs", across);
        Assert.Equal(["a", "b", "c", "d"], Values);
    }

    [Fact]
    public async Task Another_log_of_the_same_edge_is_refused()
    {
        await _hub.ImportAsync(await SignAsync(SignedBundle.Header(0, 0), Batches.At(0, "a")));
        byte[] other = await SignAsync(SignedBundle.Header(1, 1, incarnation: Guid.NewGuid()), Batches.At(1, "b"));
        await RefusesAsync(ErrorCode.IncarnationMismatch, "was filled from another log of 'north'", other);

        // Nor does the uplink continue what another log's bundle has begun.
        await _edge.FillAsync("t", 3);
        _edge.StartUplink();
        await _edge.IsStuckAsync("was filled from another log");
        Assert.Equal(["a"], Values);
    }

    [Fact]
    public async Task Bundle_of_another_hubs_edge_is_refused()
    {
        await using InProcessHub other = await InProcessHub.StartAsync();
        await using InProcessEdge stranger = await InProcessEdge.JoinWithoutUplinkAsync(other, "north", "t");
        await stranger.FillAsync("t", 3);
        await RefusesAsync(ErrorCode.Unauthenticated, "not issued by this cluster's CA", (await stranger.ExportAsync("t")).Bundle);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Certificate_must_be_that_of_the_geo_location()
    {
        byte[] forged = await SignAsync(SignedBundle.Header(0, 0, geo: "south"), Batches.At(0, "a"));
        await RefusesAsync(ErrorCode.Unauthenticated, "the certificate is that of 'north'", forged);

        V1.IssuedCertificate admin = _hub.Issuer.IssueCertificate("north", CallerRole.Admin);
        using X509Certificate2 signer = X509Certificate2.CreateFromPem(admin.CertificatePem, admin.KeyPem);
        byte[] byAdmin = await SignedBundle.MakeAsync(signer, SignedBundle.Header(0, 0), Batches.At(0, "a"));
        await RefusesAsync(ErrorCode.Unauthenticated, "(admin)", byAdmin);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Revoked_geo_location_is_refused()
    {
        await _edge.FillAsync("t", 3);
        (byte[] bundle, _) = await _edge.ExportAsync("t");
        await _hub.Issuer.RevokeAsync("north");
        await RefusesAsync(ErrorCode.Unauthenticated, "geo-location 'north' was revoked", bundle);
        Assert.Empty(_hub.Parts.Controller.Current.Topics);
    }

    [Fact]
    public async Task Certificate_that_has_expired_or_was_superseded_since_still_counts()
    {
        byte[] superseded = await SignAsync(SignedBundle.Header(0, 0), Batches.At(0, "a"));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        X500DistinguishedName subject = CertificateRoles.Subject("north", CertificateRoles.UnitOf(CallerRole.GeoLocation));
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        InviteToken token = InviteToken.Parse(await _hub.InviteAsync("north"));
        (await _hub.Issuer.RedeemAsync(token.Secret, request.PublicKey, new JoiningCard([], Replaces: true))).Dispose();
        Assert.Equal(1, (await _hub.ImportAsync(superseded)).AddedRecords);

        using X509Certificate2 expired = _hub.Authority.IssueClient(request.PublicKey, subject, TimeSpan.FromDays(-1));
        using X509Certificate2 signer = expired.CopyWithPrivateKey(key);
        byte[] late = await SignedBundle.MakeAsync(signer, SignedBundle.Header(1, 1), Batches.At(1, "b"));
        Assert.Equal(1, (await _hub.ImportAsync(late)).AddedRecords);
    }

    [Fact]
    public async Task Topic_that_is_none_or_not_mirrored_at_the_hub_is_refused()
    {
        await _hub.Parts.Controller.CreateTopicAsync("plain", 1, new TopicSettings());
        foreach (string topic in (string[])["plain", "../etc", ""])
        {
            byte[] bundle = await SignAsync(SignedBundle.Header(0, 0, topic: topic), Batches.At(0, "a"));
            await Assert.ThrowsAnyAsync<EdgeStreamException>(() => _hub.ImportAsync(bundle));
        }

        Assert.Equal(["plain"], _hub.Parts.Controller.Current.Topics.Keys);
        Assert.Equal(0, _hub.Parts.Log("plain").Offsets.End);
    }

    [Fact]
    public async Task Import_while_the_uplink_runs_leaves_one_copy()
    {
        await _edge.FillAsync("t", 500, size: 300);
        (byte[] bundle, _) = await _edge.ExportAsync("t");
        _edge.StartUplink();
        for (int i = 0; i < 5; i++)
        {
            Task filling = _edge.FillAsync("t", 50);
            await _hub.ImportAsync(bundle);
            await filling;
        }

        await _edge.IsMirroredAsync(_hub, "t");
    }

    [Fact]
    public async Task What_the_hub_has_lost_since_cannot_differ_and_is_not_brought_back()
    {
        await _edge.FillAsync("t", 600, size: 100);
        (byte[] bundle, _) = await _edge.ExportAsync("t");
        long end = (await _hub.ImportAsync(bundle)).Durable;
        string segment = Directory.GetFiles(Copy!.Directory, "*.log").Order().ElementAt(1);
        byte[] bytes = await File.ReadAllBytesAsync(segment);
        bytes[300] ^= 1;
        await File.WriteAllBytesAsync(segment, bytes);

        Assert.Equal((0, end), ((await _hub.ImportAsync(bundle)).AddedRecords, Copy.Offsets.End));
        Assert.NotEmpty(Copy.Gaps);
        await _edge.FillAsync("t", 10);
        (byte[] more, _) = await _edge.ExportAsync("t");
        Assert.Equal(_edge.Log("t").Offsets.Durable - end, (await _hub.ImportAsync(more)).AddedRecords);
    }

    [Fact]
    public void Bundle_that_the_disk_has_no_room_for_is_refused_at_once()
    {
        var refused = Assert.Throws<ClusterException>(() => _hub.Importer.CreateSpool(long.MaxValue / 2));
        Assert.Equal(ErrorCode.StorageFull, refused.Code);
        Assert.Empty(Directory.GetFiles(_hub.Parts.DataDirectory, "import-*"));
    }

    [Fact]
    public async Task Import_that_waits_for_an_uplink_is_the_only_writer_and_lets_the_edge_back_in()
    {
        using RawUplink uplink = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        byte[] bundle = await SignAsync(SignedBundle.Header(0, 0), Batches.At(0, "a"));
        await _hub.ImportAsync(bundle);
        Assert.Contains("has connected anew", (await uplink.EndsAsync()).Status.Detail, StringComparison.Ordinal);

        using RawUplink next = await RawUplink.ConnectAsync(_hub, _edge.Identity.Certificate);
        Assert.Equal(1, (await next.OpenAsync("t", SignedBundle.Incarnation)).Opened.ResumeOffset);
    }

    [Fact]
    public async Task What_was_imported_survives_a_restart_of_the_hub()
    {
        await _edge.FillAsync("t", 30);
        (byte[] bundle, _) = await _edge.ExportAsync("t");
        long durable = (await _hub.ImportAsync(bundle)).Durable;
        await _hub.StopServingAsync();
        await _hub.StartServingAsync();
        Assert.Equal(durable, Copy!.Offsets.Durable);
        Assert.Equal(0, (await _hub.ImportAsync(bundle)).AddedRecords);
    }

    private PartitionLog? Copy => _hub.LogOf("north", "t");

    private List<string> Values => Batches.ReadValues(Copy!);

    private Task<byte[]> SignAsync(V1.BundleHeader header, params byte[][] chunks) =>
        SignedBundle.MakeAsync(_edge.Identity.Certificate, header, chunks);

    private async Task RefusesAsync(ErrorCode code, string expected, byte[] bundle)
    {
        var refused = await Assert.ThrowsAsync<ClusterException>(() => _hub.ImportAsync(bundle));
        Assert.Equal(code, refused.Code);
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }
}
