using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using k8s.Models;

namespace EdgeStream.Packaging.Tests.Helm;

/// <summary>The chart's pods with the real program and a real nats-server.</summary>
public sealed class ChartRunTests(Chart chart) : IClassFixture<Chart>
{
    private const string Zone = "topology.kubernetes.io/zone";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact(Timeout = 240_000)]
    public async Task Pods_wait_for_nats_serve_and_are_replaced_without_a_loss()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "networks and users of their own need root");
        using var directory = new OwnDirectory();
        using var network = new SwitchedNetwork();
        SwitchedHost at = network.Add("nats");
        using var nats = new NatsServer(directory.Path, address: at.Address, runInNamespace: at.Namespace.Name);
        Rendered rendered = await chart.RenderAsync($$"""
            nats: { enabled: false }
            jetstream: { servers: ["{{nats.Url}}"], replicas: 1 }
            sc: { replicas: 2 }
            spu: { replicas: 2, zoneLabel: {{Zone}} }
            """);
        using var pods = new Pods(
            rendered, directory.Path, network, new Dictionary<string, string> { ["edgestream-ca"] = await MakeAuthorityAsync(directory.Path) },
            new Dictionary<string, string> { [Zone] = "zone-a" });

        // What a probe of liveness asks is good without NATS: no restart would mend that.
        await pods.StartAsync();
        await WaitForAsync(pods.All, "/readyz", 200);
        await WaitForAsync(pods.All, "/healthz", 503);
        await nats.StartAsync();
        await WaitForAsync(pods.All, "/healthz", 200);

        Pod active = await ActiveAsync(pods);
        Assert.Contains("health: good", (await active.TryAsync("edgestream", "status")).Good(), StringComparison.Ordinal);
        string spus = (await active.TryAsync("edgestream", "spu", "list")).Good();
        Assert.Equal(2, spus.Split('\n').Count(line => line.Contains("zone-a", StringComparison.Ordinal) && line.Contains("yes", StringComparison.Ordinal)));
        (await active.TryAsync("sh", "-ec", "edgestream topic create orders --partitions 2; edgestream cert issue me --role admin --out /tmp/me")).Good();
        string connect = $"--connect {string.Join(',', pods.All.Where(IsController).Select(pod => $"https://{pod.HostName}:9443"))}"
            + " --cert /tmp/me/me.crt --key-file /tmp/me/me.key --ca /tmp/me/hub-ca.crt";
        for (int partition = 0; partition < 2; partition++)
            (await active.TryAsync("sh", "-ec", $"echo before | edgestream produce orders --partition {partition} {connect}")).Good();

        // As an upgrade does it, one after the other.
        foreach (Pod pod in pods.All.Where(pod => pod != active))
        {
            Assert.Equal(0, await pod.StopAsync());
            await pod.StartAsync();
            await WaitForAsync([pod], "/readyz", 200);
            await WaitForAsync([pod], "/healthz", 200);
        }

        for (int partition = 0; partition < 2; partition++)
        {
            (await active.TryAsync("sh", "-ec", $"echo after | edgestream produce orders --partition {partition} {connect}")).Good();
            Assert.Equal("before\nafter", (await active.TryAsync("sh", "-ec", $"edgestream consume orders --partition {partition} -B -d {connect}")).Good().Trim());
        }

        Assert.Equal(0, await active.StopAsync());
        await ActiveAsync(pods, besides: active);
    }

    private static bool IsController(Pod pod) => pod.Name.Contains("-sc-", StringComparison.Ordinal);

    /// <summary>As the chart's README has it made.</summary>
    private static async Task<string> MakeAuthorityAsync(string directory)
    {
        using NodeProcess first = NodeProcess.Hub(directory, "127.0.0.1:0", "first");
        await first.StartAsync();
        await first.Process.StopAsync();
        return Path.Combine(first.Data, "ca");
    }

    private static async Task WaitForAsync(IEnumerable<Pod> pods, string path, int status)
    {
        foreach (Pod pod in pods)
            await Condition.WaitAsync(() => $"{pod.Name} answers {path} with {status}; it printed:\n{pod.Output}", async () => await pod.GetAsync(path) == status, Patience);
    }

    /// <summary>The SC that does not stand by.</summary>
    private static async Task<Pod> ActiveAsync(Pods pods, Pod? besides = null)
    {
        Pod? active = null;
        await Condition.WaitAsync(
            () => "an SC is active",
            async () =>
            {
                foreach (Pod pod in pods.All.Where(pod => IsController(pod) && pod != besides))
                {
                    if ((await pod.TryAsync("edgestream", "spu", "list")).ExitCode == 0)
                        active = pod;
                }

                return active is not null;
            },
            Patience);
        return active!;
    }
}
