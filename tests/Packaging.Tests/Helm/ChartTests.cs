using System.Text.RegularExpressions;
using EdgeStream.Harness;
using k8s;
using k8s.Models;

namespace EdgeStream.Packaging.Tests.Helm;

/// <summary>What the chart renders, looked at without a Kubernetes.</summary>
public sealed partial class ChartTests(Chart chart) : IClassFixture<Chart>
{
    private static readonly Dictionary<string, string> Values = new()
    {
        ["as it is"] = "",
        ["one of each"] = """
            sc: { replicas: 1 }
            spu: { replicas: 1 }
            jetstream: { replicas: 1 }
            podDisruptionBudget: { enabled: false }
            """,
        ["NATS elsewhere, by TLS and credentials"] = """
            nats: { enabled: false }
            jetstream:
              servers: ["tls://n1.example:4222", "nats://10.0.0.2:4222"]
              credentials: { existingSecret: nats-credentials, key: user.creds }
              tls: { existingSecret: nats-tls }
            """,
        ["NATS by TLS without a certificate"] = "jetstream: { tls: { existingSecret: nats-tls, clientCertificate: false } }",
        ["zones, and where pods may run"] = """
            fullnameOverride: streams
            cluster: { name: north, domain: k8s.example }
            spu:
              replicas: 5
              zoneLabel: topology.kubernetes.io/zone
              nodeSelector: { disk: fast }
              tolerations: [{ key: streams, operator: Exists }]
              affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [{ key: metadata.name, operator: In, values: [n1] }] }] } } }
              priorityClassName: high
              podAnnotations: { prometheus.io/scrape: "true" }
              extraArgs: ["--budget=1GiB"]
            """,
        ["ports of the nodes"] = """
            sc: { advertise: "https://k8s.example:3100$(POD_INDEX)", service: { enabled: true, type: NodePort, nodePorts: [31000, 31001] } }
            spu: { advertise: "https://k8s.example:3200$(POD_INDEX)", service: { enabled: true, type: NodePort, nodePorts: [32000, 32001, 32002] } }
            """,
        ["load balancers"] = """
            sc: { advertise: "https://sc-$(POD_INDEX).example:443", service: { enabled: true, port: 443, annotations: { external-dns/hostname: "sc-$(POD_INDEX).example" } } }
            spu: { advertise: "https://spu-$(POD_INDEX).example:9443", service: { enabled: true } }
            """,
        ["a narrow network"] = """
            networkPolicy:
              from: [{ namespaceSelector: { matchLabels: { team: orders } } }, { ipBlock: { cidr: 10.0.0.0/8 } }]
              metricsFrom: [{ podSelector: { matchLabels: { app: prometheus } } }]
              natsPorts: [4222, 4223]
            """,
        ["no network policy"] = "networkPolicy: { enabled: false }",
        ["a number of a user that has ten digits"] = """
            user: 1000680000
            http: { port: 9000 }
            image: { pullSecrets: [{ name: registry }], tag: next }
            """,
    };

    public static TheoryData<string> ValueSets => [.. Values.Keys];

    [Theory(Timeout = 60_000)]
    [MemberData(nameof(ValueSets))]
    public async Task Objects_are_what_Kubernetes_knows_and_find_each_other(string values)
    {
        Rendered rendered = await chart.RenderAsync(Values[values]);
        Assert.Equal(["sc", "spu"], rendered.All<V1StatefulSet>().Select(set => set.Spec.Template.Spec.Containers.Single().Name).Order());
        foreach (V1StatefulSet set in rendered.All<V1StatefulSet>())
        {
            V1PodTemplateSpec pod = set.Spec.Template;
            Assert.True(Selects(set.Spec.Selector.MatchLabels, pod));
            V1Service names = rendered.Named<V1Service>(set.Spec.ServiceName);
            Assert.Equal("None", names.Spec.ClusterIP);
            Assert.True(names.Spec.PublishNotReadyAddresses);
            Assert.All(pod.Spec.Volumes, volume => Assert.True(
                volume.EmptyDir is not null || volume.Secret?.DefaultMode == 288 || (volume.ConfigMap is { } map && rendered.Named<V1ConfigMap>(map.Name).Data.Count > 0),
                volume.Name));
            Assert.All(pod.Spec.InitContainers, container => CheckContainer(container, pod.Spec));
            Assert.All(pod.Spec.Containers, container => CheckContainer(container, pod.Spec));
            Assert.True(pod.Spec.SecurityContext.RunAsNonRoot);
            Assert.Equal(values.StartsWith("a number", StringComparison.Ordinal) ? 1_000_680_000 : 10_001, pod.Spec.SecurityContext.RunAsUser);
        }

        // Each of the rest is for the pods of one set, a single one of them, or all.
        IReadOnlyList<V1PodTemplateSpec> pods = [.. rendered.All<V1StatefulSet>().Select(set => set.Spec.Template)];
        Assert.All(rendered.All<V1PodDisruptionBudget>(), budget => Assert.Single(pods, pod => Selects(budget.Spec.Selector.MatchLabels, pod)));
        Assert.All(rendered.All<V1NetworkPolicy>(), policy => Assert.All(pods, pod => Assert.True(Selects(policy.Spec.PodSelector.MatchLabels, pod))));
        foreach (V1Service service in rendered.All<V1Service>())
        {
            V1PodTemplateSpec pod = Assert.Single(pods, pod => Selects(service.Spec.Selector, pod));
            Assert.All(service.Spec.Ports, port => Assert.Contains(pod.Spec.Containers.Single().Ports, one => one.Name == port.TargetPort.Value));
        }
    }

    [Theory(Timeout = 60_000)]
    [MemberData(nameof(ValueSets))]
    public async Task Configuration_is_one_that_the_program_takes_and_names_the_scs_as_they_name_themselves(string values)
    {
        Rendered rendered = await chart.RenderAsync(Values[values]);
        using var directory = new TemporaryDirectory();
        foreach (string kind in (string[])["sc", "spu"])
        {
            string text = InContainer().Replace(rendered.Configuration(kind), match => directory.At(match.Groups[1].Value.Replace('/', '-')));
            foreach (Match file in Files().Matches(text))
                await File.WriteAllTextAsync(file.Groups[1].Value, "");

            await File.WriteAllTextAsync(directory.At("node.toml"), text);
            await EdgeStreamProgram.RunGoodAsync("check", "--config-only", "--config", directory.At("node.toml"));
        }

        V1StatefulSet controllers = rendered.Set("sc");
        string advertise = controllers.Spec.Template.Spec.Containers.Single().Args.Single(argument => argument.StartsWith("--advertise=", StringComparison.Ordinal));
        string[] named = [.. Endpoint().Matches(rendered.Configuration("spu")).Select(match => match.Groups[1].Value)];
        Assert.Equal(
            Enumerable.Range(0, controllers.Spec.Replicas!.Value).Select(number => advertise["--advertise=".Length..]
                .Replace("$(POD_NAME)", $"{controllers.Metadata.Name}-{number}", StringComparison.Ordinal)
                .Replace("$(POD_INDEX)", $"{number}", StringComparison.Ordinal)),
            named);
    }

    [Theory(Timeout = 60_000)]
    [InlineData("es", "", "nats://es-nats.data.svc.cluster.local:4222")]
    [InlineData("nats", "", "nats://nats.data.svc.cluster.local:4222")]
    [InlineData("es", "nats: { fullnameOverride: bus }", "nats://bus.data.svc.cluster.local:4222")]
    [InlineData("es", "nats: { nameOverride: bus }", "nats://es-bus.data.svc.cluster.local:4222")]
    public async Task Nats_is_looked_for_where_its_chart_puts_it(string release, string values, string server)
    {
        Rendered rendered = await chart.RenderAsync(values, release);
        Assert.Contains($"nats = [\"{server}\"]", rendered.Configuration("sc"), StringComparison.Ordinal);
        Assert.Contains($"nats = [\"{server}\"]", rendered.Configuration("spu"), StringComparison.Ordinal);
        string told = rendered.Named<V1ConfigMap>("told").Data["config"];
        Assert.Contains("\"sync_interval\":\"always\"", told, StringComparison.Ordinal);
        Assert.Contains("\"max_payload\":8388608", told, StringComparison.Ordinal);
    }

    [Theory(Timeout = 60_000)]
    [InlineData("", "ca.existingSecret: name the secret with the CA")]
    [InlineData("ca: { existingSecret: a }\nnats: { enabled: false }", "jetstream.servers: name the NATS servers")]
    [InlineData("ca: { existingSecret: a }\njetstream: { replicas: 5 }", "jetstream.replicas: 5 replicas need as many servers; nats.config.cluster.replicas is 3")]
    [InlineData("ca: { existingSecret: a }\nspu: { advertise: \"https://spu.example\" }", "spu.advertise: 'https://spu.example' would be the address of all 3")]
    [InlineData("sc: { replicas: 0 }", "at '/sc/replicas': minimum: got 0, want 1")]
    [InlineData("sc: { advertise: \"http://sc.example\" }", "at '/sc/advertise': 'http://sc.example' does not match pattern")]
    [InlineData("jetstream: { servers: [\"nats://user:password@n1\"] }", "at '/jetstream/servers/0'")]
    [InlineData("spu: { zone: a }", "at '/spu': additional properties 'zone' not allowed")]
    [InlineData("cluster: { name: \"of mine\" }", "at '/cluster/name'")]
    [InlineData("user: 0", "at '/user': minimum: got 0, want 1")]
    [InlineData("http: { port: \"9440\" }", "at '/http/port': got string, want integer")]
    public async Task Values_that_cannot_be_are_refused(string values, string message) =>
        Assert.Contains(message, await chart.RefusalAsync(values), StringComparison.Ordinal);

    [Fact(Timeout = 60_000)]
    public async Task Helm_finds_nothing_wrong()
    {
        Ended report = await chart.HelmAsync("lint", "--strict", "--set", "ca.existingSecret=edgestream-ca");
        Assert.True(report.ExitCode == 0, report.Output);
    }

    [Fact]
    public void Version_is_that_of_the_program()
    {
        string version = Regex.Match(File.ReadAllText(Repository.At("Directory.Build.props")), "<Version>(.*)</Version>").Groups[1].Value;
        Assert.Contains($"\nappVersion: {version}\n", File.ReadAllText(Path.Combine(Chart.Source, "Chart.yaml")), StringComparison.Ordinal);
    }

    private static bool Selects(IDictionary<string, string> labels, V1PodTemplateSpec pod) => labels.All(label =>
        label.Key == "statefulset.kubernetes.io/pod-name" || (pod.Metadata.Labels.TryGetValue(label.Key, out string? value) && value == label.Value));

    private static void CheckContainer(V1Container container, V1PodSpec pod)
    {
        Assert.All(container.VolumeMounts, mount => Assert.Contains(pod.Volumes, volume => volume.Name == mount.Name));
        Assert.Equal(container.VolumeMounts.Count, container.VolumeMounts.DistinctBy(mount => mount.MountPath).Count());
        Assert.All(
            container.Args.SelectMany(argument => Variable().Matches(argument)),
            match => Assert.Contains(container.Env, variable => variable.Name == match.Groups[1].Value));
        foreach (V1Probe? probe in (V1Probe?[])[container.StartupProbe, container.ReadinessProbe, container.LivenessProbe])
        {
            if (probe is not null)
                Assert.Contains(container.Ports, port => port.Name == probe.HttpGet.Port.Value);
        }

        Assert.False(container.SecurityContext.AllowPrivilegeEscalation);
        Assert.True(container.SecurityContext.ReadOnlyRootFilesystem);
        Assert.Equal(["ALL"], container.SecurityContext.Capabilities.Drop);
        Assert.NotNull(container.Resources.Limits["memory"]);
    }

    [GeneratedRegex(@"\$\(([A-Z_]+)\)")]
    private static partial Regex Variable();

    [GeneratedRegex("/etc/edgestream/([^\"]+)")]
    private static partial Regex InContainer();

    [GeneratedRegex(@"(?m)^(?:credentials|[a-z]+-file) = ""(.*)""$")]
    private static partial Regex Files();

    [GeneratedRegex(@"(?m)^  ""(https://.*)"",$")]
    private static partial Regex Endpoint();
}
