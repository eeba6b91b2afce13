using EdgeStream.Agent.Checks;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Agent.Tests.Hosting;
using EdgeStream.Cluster.Nats;
using EdgeStream.Harness;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Agent.Tests.Checks;

/// <summary>What <c>check</c> finds out about the parts of a cluster, on real NATS servers.</summary>
public sealed class ClusterChecksTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact(Timeout = 120_000)]
    public async Task Servers_without_a_majority_are_told_one_by_one_and_together()
    {
        using var nats = new NatsCluster(_directory.Path);
        await nats.StartAsync();
        await nats.WaitUntilHealthyAsync();
        AgentConfiguration configuration = On(nats.Urls);
        Assert.All(await RunAsync("sc", configuration), finding => Assert.Equal(Verdict.Ok, finding.Verdict));

        nats.Servers[1].Kill();
        nats.Servers[2].Kill();
        await Condition.WaitAsync("they are gone", () => nats.Servers.Skip(1).All(server => server.Process.HasExited));

        // The one that is left may not know yet that it has no majority.
        IReadOnlyList<Finding> found = [];
        Finding? jetStream = null;
        await Condition.WaitAsync(
            () => $"JetStream is told to be away: {jetStream?.Message}",
            async () =>
            {
                found = await RunAsync("sc", configuration);
                jetStream = Assert.Single(found, one => one.Subject == "JetStream");
                return jetStream.Verdict == Verdict.Warning;
            });
        Assert.Equal([Verdict.Ok, Verdict.Warning, Verdict.Warning], found.Where(one => one.Subject == "NATS server").Select(one => one.Verdict));
        Assert.StartsWith($"NATS at {nats.Urls[0]}, ", jetStream!.Message, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Spu_has_to_have_an_identity_of_its_cluster_and_scs()
    {
        await using var nodes = new DataCenterNodes();
        await nodes.Nats.StartAsync();
        RunningNode sc = await nodes.StartSc("sc").ServingAsync();
        await sc.UntilAsync("it is the active one", status => status.ScActive);
        string own = Identity("own", sc.Data), other = Identity("other", _directory.At("other-sc"));
        string nobody = $"https://127.0.0.1:{FreePort.Take()}";

        AgentConfiguration good = On([nodes.Nats.Url], new ClusterOptions { Identity = own, Controllers = [sc.Endpoint, nobody], Advertise = nobody });
        IReadOnlyList<Finding> found = await RunAsync("spu", good, isRunning: true);
        Assert.Contains(found, one => one is { Subject: "identity", Verdict: Verdict.Ok } && one.Message.StartsWith($"'{own}' is that of SPU 7, valid until ", StringComparison.Ordinal));
        Assert.Contains(found, one => one is { Subject: "JetStream", Verdict: Verdict.Ok });
        Assert.Equal([Verdict.Ok, Verdict.Warning], found.Where(one => one.Subject == "SC").Select(one => one.Verdict));
        Assert.Contains(found, one => one is { Subject: "advertise", Verdict: Verdict.Warning });

        found = await RunAsync("spu", On([nodes.Nats.Url], new ClusterOptions { Identity = other, Controllers = [sc.Endpoint] }));
        Assert.Contains(found, one => one is { Subject: "JetStream", Verdict: Verdict.Warning } && one.Message.Contains("has another CA", StringComparison.Ordinal));
        Assert.DoesNotContain(found, one => one.Subject == "advertise");

        found = await RunAsync("spu", On([nodes.Nats.Url], new ClusterOptions { Identity = _directory.At("none"), Controllers = [sc.Endpoint] }));
        Assert.Contains(found, one => one is { Subject: "identity", Verdict: Verdict.Problem } && one.Message.Contains("there is no spu.crt", StringComparison.Ordinal));

        found = await RunAsync("spu", On([nodes.Nats.Url]));
        Assert.Contains(found, one => one is { Subject: "identity", Verdict: Verdict.Warning });
        Assert.Contains(found, one => one is { Subject: "SC", Verdict: Verdict.Warning } && one.Message.Contains("cluster.sc", StringComparison.Ordinal));

        // The same of an SC's CA, which is only looked at.
        Assert.Contains(await RunAsync("sc", On([nodes.Nats.Url]), _directory.At("other-sc")), one => one is { Subject: "JetStream", Verdict: Verdict.Warning });
        Assert.Contains(await RunAsync("sc", On([nodes.Nats.Url]), _directory.At("new-sc")), one => one is { Subject: "CA", Verdict: Verdict.Ok } && one.Message.Contains("is made at the first start", StringComparison.Ordinal));
        Assert.False(Directory.Exists(_directory.At("new-sc")));
        await File.WriteAllTextAsync(Path.Combine(_directory.At("other-sc"), "ca", "ca.key"), "damaged", TestContext.Current.CancellationToken);
        Assert.Contains(await RunAsync("sc", On([nodes.Nats.Url]), _directory.At("other-sc")), one => one is { Subject: "CA", Verdict: Verdict.Problem });
    }

    [Fact]
    public async Task Key_that_is_not_that_of_the_certificate_for_nats_is_told()
    {
        using var authority = new TestAuthority(_directory.Path);
        (string certificate, _) = authority.Issue("one");
        (_, string key) = authority.Issue("two");
        AgentConfiguration configuration = new()
        {
            JetStream = new JetStreamOptions([$"nats://127.0.0.1:{FreePort.Take()}"]) { CaFile = authority.File, CertificateFile = certificate, KeyFile = key },
        };

        Finding found = Assert.Single(await RunAsync("sc", configuration), one => one.Subject == "certificate");
        Assert.Equal(Verdict.Warning, found.Verdict);
        Assert.StartsWith($"storage.key-file '{key}' has not the key of the certificate '{certificate}'", found.Message, StringComparison.Ordinal);
    }

    private static AgentConfiguration On(IReadOnlyList<string> servers, ClusterOptions? cluster = null) => new()
    {
        JetStream = new JetStreamOptions(servers) { AnswerTimeout = TimeSpan.FromSeconds(1) },
        Cluster = cluster,
    };

    private string Identity(string name, string scData)
    {
        using CertificateAuthority authority = CertificateAuthority.Open(scData, TimeProvider.System);
        SpuIdentity.Create(_directory.At(name), authority, 7, ["localhost"]);
        return _directory.At(name);
    }

    private Task<IReadOnlyList<Finding>> RunAsync(string kind, AgentConfiguration configuration, string? data = null, bool isRunning = false) =>
        ClusterChecks.RunAsync(kind, configuration, data ?? _directory.At("data"), isRunning, TestContext.Current.CancellationToken);
}
