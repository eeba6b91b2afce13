using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>Servers as they are set up elsewhere: with TLS and passwords, too old, or with too little room.</summary>
public sealed class JetStreamServersTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _clusterId = Guid.NewGuid().ToString("N");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Tls_with_a_password_lets_in_who_knows_both_the_authority_and_the_password()
    {
        using var authority = new TestAuthority(_directory.Path);
        using var stranger = new TestAuthority(_directory.Path, "stranger");
        (string cert, string key) = authority.Issue("server", "127.0.0.1");
        using var server = new NatsServer(
            _directory.Path, "tls", settings: $"tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}\nauthorization {{ user: hub, password: right }}");
        await server.StartAsync();
        var options = new JetStreamOptions([server.Url]) { User = "hub", Password = "right", CaFile = authority.File };
        await WorksAsync(options);
        await RefusedAsync(options with { CaFile = stranger.File });
        Assert.Contains("Authorization Violation", await RefusedAsync(options with { Password = "wrong" }), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Mutual_tls_lets_in_who_has_a_certificate_of_the_authority()
    {
        using var authority = new TestAuthority(_directory.Path);
        using var stranger = new TestAuthority(_directory.Path, "stranger");
        (string cert, string key) = authority.Issue("server", "127.0.0.1");
        (string own, string ownKey) = authority.Issue("hub");
        (string foreign, string foreignKey) = stranger.Issue("foreign");
        using var server = new NatsServer(
            _directory.Path, "mutual", settings: $"tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{authority.File}\", verify: true }}");
        await server.StartAsync();
        var options = new JetStreamOptions([server.Url]) { CaFile = authority.File, CertificateFile = own, KeyFile = ownKey };
        await WorksAsync(options);
        await RefusedAsync(options with { CertificateFile = foreign, KeyFile = foreignKey });
        await RefusedAsync(options with { CertificateFile = null, KeyFile = null });
    }

    [Theory]
    [InlineData("2.8.4", false)]
    [InlineData("2.9.0", true)]
    [InlineData("2.9.10", true)]
    [InlineData("2.10.0-beta.1", true)]
    [InlineData("3.0.0+build", true)]
    [InlineData("1.4.1-rc1", false)]
    [InlineData("of my own", true)]
    public void Server_that_is_too_old_is_told_so_in_a_line(string version, bool willDo)
    {
        string? problem = JetStreamServers.ProblemOf(version);
        Assert.Equal(willDo ? null : $"the server has version {version}, and 2.9.0 is the oldest that will do; update it", problem);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Servers_without_room_refuse_records_and_go_on_when_there_is_some(bool ofTheAccount)
    {
        // Of the whole server, or of the account that the hub uses.
        string store = _directory.At("store");
        using var server = new NatsServer(
            _directory.Path, "small", jetStream: false, settings: ofTheAccount
                ? $$"""
                    jetstream { store_dir: "{{store}}", max_mem: 64MB, max_file: 1GB }
                    accounts { A { jetstream { max_mem: 1MB, max_file: 4MB }, users [ { user: hub, password: right } ] } }
                    """
                : $"jetstream {{ store_dir: \"{store}\", max_mem: 64MB, max_file: 4MB }}");
        await server.StartAsync();
        await using EngineUnderTest engine = Engine(
            new JetStreamOptions([server.Url]) { User = ofTheAccount ? "hub" : null, Password = ofTheAccount ? "right" : null }, "full");
        IPartitionLog log = await engine.OpenAsync();
        var acknowledged = new List<string>();
        StorageFullException? full = null;
        for (int i = 0; full is null && i < 200; i++)
        {
            try
            {
                AppendedRange range = await log.AppendAsync(Batches.Of($"{i} {new string('x', 100_000)}"), AckLevel.Durable).AsTask().InTimeAsync();
                Assert.Equal(acknowledged.Count, range.BaseOffset);
                acknowledged.Add($"{i}");
            }
            catch (StorageFullException refused)
            {
                full = refused;
            }
        }

        Assert.NotNull(full);
        Assert.Contains("no room", full.Message, StringComparison.Ordinal);
        Assert.Equal(full.Message, log.Problem);
        Assert.Null(log.Failure);
        Assert.NotEmpty(acknowledged);
        Assert.Equal(acknowledged, await ReadAsync(0));

        // Again and again, and opened anew meanwhile: what there was no room for leaves a trace in the stream, but no record.
        for (int i = 0; i < 3; i++)
            await Assert.ThrowsAsync<StorageFullException>(() => log.AppendAsync(Batches.Of(new string('y', 100_000)), AckLevel.Durable).AsTask().InTimeAsync());

        await ((JetStreamLog)log).MaintainAsync();
        Assert.Null(log.Failure);
        log = await engine.ReopenAsync();
        await Assert.ThrowsAsync<StorageFullException>(() => log.AppendAsync(Batches.Of(new string('y', 100_000)), AckLevel.Durable).AsTask().InTimeAsync());
        Assert.Equal(acknowledged.Count, log.Offsets.End);

        // Retention makes room, without a restart.
        await log.ChangeSettingsAsync(new LogSettings { RetentionBytes = 1_000_000, Overflow = OverflowPolicy.DropOldest });
        AppendedRange next = await log.AppendAsync(Batches.Of("next"), AckLevel.Durable).AsTask().InTimeAsync();
        Assert.Equal(acknowledged.Count, next.BaseOffset);
        Assert.Null(log.Problem);
        await ((JetStreamLog)log).MaintainAsync();
        Assert.Equal([.. acknowledged.Skip((int)log.StartOffset), "next"], await ReadAsync(log.StartOffset));

        async Task<IEnumerable<string>> ReadAsync(long from) => (await Batches.ReadValuesAsync(log, from)).Select(value => value.Split(' ')[0]);
    }

    private async Task WorksAsync(JetStreamOptions options)
    {
        await using EngineUnderTest engine = Engine(options, "works");
        IPartitionLog log = await engine.OpenAsync();
        await log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        Assert.Equal(["a"], await Batches.ReadValuesAsync(log));
    }

    private async Task<string> RefusedAsync(JetStreamOptions options)
    {
        await using EngineUnderTest engine = Engine(options, Guid.NewGuid().ToString("N"));
        var refused = await Assert.ThrowsAsync<ClusterException>(() => engine.OpenOnceAsync());
        Assert.Equal(ErrorCode.Unavailable, refused.Code);
        Assert.DoesNotContain('\n', refused.Message);
        return refused.Message;
    }

    private EngineUnderTest Engine(JetStreamOptions options, string name) => new(
        _directory.At(name), _clusterId, new TopicSettings(),
        directory => new JetStreamEngine(directory, options with { AnswerTimeout = TimeSpan.FromSeconds(2) }, NullLogger.Instance));
}
