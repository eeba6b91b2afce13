using EdgeStream.Harness;

namespace EdgeStream.Packaging.Tests.Helm;

/// <summary>The chart as Helm renders it, with a stand-in for the chart <c>nats</c>, which shows what it is told.</summary>
public sealed class Chart : IAsyncLifetime
{
    public const string Namespace = "data";

    private readonly TemporaryDirectory _directory = new();
    private string _helm = "";
    private string? _obstacle;

    /// <summary>Where the chart is in the source tree.</summary>
    public static string Source => Repository.At("packaging", "helm", "edgestream");

    /// <summary>A copy that has all that it depends on.</summary>
    private string Copy => _directory.At("edgestream");

    public async ValueTask InitializeAsync()
    {
        Ended installed = await Shell.RunAsync(Repository.At("packaging", "install-helm.sh"), Repository.At("artifacts", "tools"));
        if (installed.ExitCode != 0)
        {
            _obstacle = $"Helm cannot be had: {installed.Output.Trim().Split('\n')[^1]}";
            return;
        }

        _helm = installed.Output.Split('\n')[0];
        (await Shell.RunAsync("cp", "-r", Source, Copy)).Good();
        string nats = Path.Combine(Copy, "charts", "nats");
        Directory.CreateDirectory(Path.Combine(nats, "templates"));
        await File.WriteAllTextAsync(Path.Combine(nats, "Chart.yaml"), "apiVersion: v2\nname: nats\nversion: 1.3.0\n");
        await File.WriteAllTextAsync(Path.Combine(nats, "templates", "told.yaml"), """
            apiVersion: v1
            kind: ConfigMap
            metadata:
              name: told
            data:
              config: {{ .Values.config | toJson | quote }}
            """);
    }

    public ValueTask DisposeAsync()
    {
        _directory.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>Renders it; skips the test where Helm cannot be had.</summary>
    /// <param name="values">As in a file of values, besides the name of the CA's secret.</param>
    /// <param name="release">What the release is called.</param>
    internal async Task<Rendered> RenderAsync(string values, string release = "es") =>
        new((await TemplateAsync("ca: { existingSecret: edgestream-ca }\n" + values, release)).Good());

    /// <summary>What Helm says where it does not render.</summary>
    internal async Task<string> RefusalAsync(string values)
    {
        Ended ended = await TemplateAsync(values, "es");
        Assert.NotEqual(0, ended.ExitCode);
        return ended.Output;
    }

    internal Task<Ended> HelmAsync(string command, params string[] arguments)
    {
        Assert.SkipWhen(_obstacle is not null, _obstacle ?? "");
        return Shell.RunAsync(_helm, [command, .. arguments, Copy]);
    }

    private async Task<Ended> TemplateAsync(string values, string release)
    {
        string file = _directory.At("values.yaml");
        await File.WriteAllTextAsync(file, values);
        return await HelmAsync("template", "--namespace", Namespace, "--values", file, release);
    }
}
