using System.Globalization;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using EdgeStream.Testing.Power;
using k8s.Models;

namespace EdgeStream.Packaging.Tests.Helm;

/// <summary>
/// The pods of a rendered chart on this machine, as Kubernetes would run them: each with its address and name, its volumes, its user, a root
/// that cannot be written, and nothing else. The program is that of the image, which is not needed for it.
/// </summary>
internal sealed class Pods : IDisposable
{
    private readonly List<Pod> _pods = [];

    /// <param name="rendered">The chart.</param>
    /// <param name="directory">Where volumes are; the caller's.</param>
    /// <param name="network">Where the pods are; the caller's.</param>
    /// <param name="secrets">Directories with the files of the secrets that are there, by name.</param>
    /// <param name="labels">What Kubernetes adds to each pod's labels.</param>
    public Pods(
        Rendered rendered, string directory, SwitchedNetwork network, IReadOnlyDictionary<string, string> secrets, IReadOnlyDictionary<string, string> labels)
    {
        string names = Path.Combine(directory, "hosts");
        foreach (V1StatefulSet set in rendered.All<V1StatefulSet>())
        {
            for (int number = 0; number < set.Spec.Replicas; number++)
                _pods.Add(new Pod(rendered, set, number, directory, network, names, secrets, labels));
        }

        File.WriteAllLines(names, ["127.0.0.1 localhost", .. _pods.Select(pod => $"{pod.Address} {pod.HostName}")]);
    }

    public IReadOnlyList<Pod> All => _pods;

    public Pod this[string name] => _pods.Single(pod => pod.Name == name);

    public Task StartAsync() => Task.WhenAll(_pods.Select(pod => pod.StartAsync()));

    public void Dispose()
    {
        foreach (Pod pod in _pods)
            pod.Dispose();
    }
}

/// <summary>One of them.</summary>
internal sealed class Pod : IDisposable
{
    private const string ProgramFolder = "/opt/edgestream";

    // What of this machine stands for the image.
    private static readonly string[] OfTheImage = ["/usr", "/etc/ssl", "/etc/ld.so.cache", "/etc/alternatives", "/etc/nsswitch.conf", "/etc/dotnet"];

    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(5) };

    private readonly V1PodSpec _spec;
    private readonly IReadOnlyDictionary<string, string> _labels;
    private readonly string _directory;
    private readonly string _names;
    private readonly SwitchedHost _host;
    private ChildProcess? _process;

    public Pod(
        Rendered rendered, V1StatefulSet set, int number, string directory, SwitchedNetwork network, string names,
        IReadOnlyDictionary<string, string> secrets, IReadOnlyDictionary<string, string> labels)
    {
        Name = $"{set.Metadata.Name}-{number}";
        HostName = $"{Name}.{set.Spec.ServiceName}.{Chart.Namespace}.svc.cluster.local";
        _spec = set.Spec.Template.Spec;
        _labels = new Dictionary<string, string>(labels) { ["apps.kubernetes.io/pod-index"] = number.ToString(CultureInfo.InvariantCulture) };
        _directory = Path.Combine(directory, Name);
        _names = names;
        _host = network.Add(Name);
        foreach (V1Volume volume in _spec.Volumes)
            Make(volume, rendered, secrets);
    }

    public string Name { get; }

    public string HostName { get; }

    public string Address => _host.Address;

    public string Output => _process?.Output ?? "";

    /// <summary>Runs its init containers and starts the other; serving takes it longer.</summary>
    public async Task StartAsync()
    {
        foreach (V1Container container in _spec.InitContainers)
            (await Shell.RunAsync("ip", Command(container))).Good();

        _process?.Dispose();
        _process = ChildProcess.Start(Name, "ip", Command(_spec.Containers.Single()));
    }

    /// <summary>As Kubernetes does it before it starts another; the container's exit code.</summary>
    public Task<int> StopAsync() => _process!.StopAsync(TimeSpan.FromSeconds(_spec.TerminationGracePeriodSeconds!.Value));

    /// <summary>The status that a page of its port 'http' answers with; 0 where nobody answers.</summary>
    public async Task<int> GetAsync(string path)
    {
        if (_process!.HasExited)
            throw new InvalidOperationException($"{Name} has ended:\n{Output}");

        int port = _spec.Containers.Single().Ports.Single(one => one.Name == "http").ContainerPort;
        try
        {
            using HttpResponseMessage answer = await Http.GetAsync(new Uri($"http://{Address}:{port}{path}"));
            return (int)answer.StatusCode;
        }
        catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
        {
            return 0;
        }
    }

    /// <summary>Runs a program in the container, as <c>kubectl exec</c> does.</summary>
    public Task<Ended> TryAsync(params string[] command) => Shell.RunAsync(
        "nsenter", ["-t", $"{_process!.Id}", "--mount", "--net", "--root", "--wd", .. AsUser(), .. Environment(new Dictionary<string, string>()), .. command]);

    public void Dispose() => _process?.Dispose();

    private void Make(V1Volume volume, Rendered rendered, IReadOnlyDictionary<string, string> secrets)
    {
        string at = Directory.CreateDirectory(VolumePath(volume.Name)).FullName;
        (string mode, string fileMode) = ("755", "644");
        if (volume.ConfigMap is { } map)
        {
            foreach ((string file, string text) in rendered.Named<V1ConfigMap>(map.Name).Data)
                File.WriteAllText(Path.Combine(at, file), text);
        }
        else if (volume.Secret is { } secret)
        {
            fileMode = Convert.ToString(secret.DefaultMode!.Value, 8);
            foreach (string file in Directory.GetFiles(secrets[secret.SecretName]))
                File.Copy(file, Path.Combine(at, Path.GetFileName(file)));
        }
        else
        {
            Assert.NotNull(volume.EmptyDir);
            mode = "2777";
        }

        Tool.Run("chown", "-R", $"0:{_spec.SecurityContext.FsGroup}", at);
        Tool.Run("chmod", mode, at);
        foreach (string file in Directory.GetFiles(at))
            Tool.Run("chmod", fileMode, file);
    }

    private string VolumePath(string name) => Path.Combine(_directory, name);

    /// <summary>Runs a container by <c>ip</c>; each of the programs on the way becomes the next, so that signals reach the last.</summary>
    private string[] Command(V1Container container)
    {
        string root = Directory.CreateDirectory(Path.Combine(_directory, "root")).FullName;
        List<(string From, string To, bool Writable)> mounts =
        [
            .. OfTheImage.Where(Path.Exists).Select(path => (path, path, false)),
            (Path.GetDirectoryName(DebianSystem.HubProgram)!, ProgramFolder, false),
            (_names, "/etc/hosts", false),
            .. container.VolumeMounts.Select(mount => (VolumePath(mount.Name), mount.MountPath, mount.ReadOnlyProperty != true)),
        ];
        string script = $"""
            mount -t tmpfs tmpfs {root}
            cd {root}
            mkdir proc dev tmp
            ln -s usr/bin usr/lib usr/lib64 .
            mount --rbind /proc proc
            mount --rbind /dev dev
            {string.Join('\n', mounts.Select(mount => Mount(mount.From, mount.To, mount.Writable)))}
            mount -o remount,ro {root}
            exec chroot {root} "$@"
            """;
        var variables = container.Env?.ToDictionary(variable => variable.Name, ValueOf) ?? [];
        string[] command = [.. container.Command ?? ["edgestream"], .. (container.Args ?? []).Select(argument => Expand(argument, variables))];
        return ["netns", "exec", _host.Namespace.Name, "unshare", "--mount", "sh", "-ec", script, "sh", .. AsUser(), .. Environment(variables), .. command];
    }

    private static string Mount(string from, string to, bool writable) =>
        $"{(Directory.Exists(from) ? $"mkdir -p .{to}" : $"mkdir -p .{Path.GetDirectoryName(to)}; touch .{to}")}; mount --bind {from} .{to}"
        + (writable ? "" : $"; mount -o remount,bind,ro .{to}");

    private string[] AsUser() =>
    [
        "/usr/bin/setpriv", $"--reuid={_spec.SecurityContext.RunAsUser}", $"--regid={_spec.SecurityContext.RunAsGroup}",
        $"--groups={_spec.SecurityContext.FsGroup}", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
    ];

    /// <summary>As the container runtimes have it for a user that the image does not know: at home in the root.</summary>
    private static string[] Environment(IReadOnlyDictionary<string, string> variables) =>
        ["/usr/bin/env", "-i", "HOME=/", $"PATH={ProgramFolder}:/usr/bin", .. variables.Select(variable => $"{variable.Key}={variable.Value}")];

    private string ValueOf(V1EnvVar variable) => variable.ValueFrom.FieldRef.FieldPath switch
    {
        "metadata.name" => Name,
        var path when path.StartsWith("metadata.labels['", StringComparison.Ordinal) => _labels.GetValueOrDefault(path["metadata.labels['".Length..^2], ""),
        var path => throw new InvalidOperationException($"{path} is not known here"),
    };

    private static string Expand(string argument, Dictionary<string, string> variables) =>
        variables.Aggregate(argument, (text, variable) => text.Replace($"$({variable.Key})", variable.Value, StringComparison.Ordinal));
}
