using EdgeStream.Harness;

namespace EdgeStream.Packaging.Tests;

/// <summary>
/// A Debian to install the package on: a tarball, made once and kept beside the other build results, and the package, made of what
/// <c>make aot</c> has built.
/// </summary>
public sealed class DebianSystem : IAsyncLifetime
{
    private const string Previous = "0.0.9";

    private static readonly string Folder = Repository.At("artifacts", "packaging-tests");
    private static readonly string Published = Repository.At("artifacts", "aot", "linux-x64");
    private static readonly string PublishedHub = Repository.At("artifacts", "aot-hub", "linux-x64");

    /// <summary>Why this machine cannot boot another; null where it can.</summary>
    public string? Obstacle { get; private set; }

    /// <summary>The package as it is shipped.</summary>
    public string Package { get; private set; } = "";

    /// <summary>The package for data centers; null where it was not built.</summary>
    public string? HubPackage { get; private set; }

    /// <summary>The same program as a version before it.</summary>
    public string PreviousPackage { get; private set; } = "";

    /// <summary>The same of the package for data centers; empty where it was not built.</summary>
    public string PreviousHubPackage { get; private set; } = "";

    /// <summary>The program of the package for data centers; where that was not built, the one beside the tests.</summary>
    internal static string HubProgram => File.Exists(Path.Combine(PublishedHub, "edgestream")) ? Path.Combine(PublishedHub, "edgestream") : EdgeStreamProgram.Path;

    private static string Tarball => Path.Combine(Folder, "debian-12.tar");

    /// <summary>Skips the test where this machine cannot boot another, and says why.</summary>
    internal void Require() => Assert.SkipWhen(Obstacle is not null, Obstacle ?? "");

    /// <summary>The package for data centers; skips the test where there is none, which takes minutes to build.</summary>
    internal string RequireHubPackage()
    {
        Require();
        Assert.SkipWhen(HubPackage is null, "there is no native build for data centers; 'make aot-hub' makes it");
        return HubPackage!;
    }

    /// <summary>Skips the test where there is no native build.</summary>
    internal static string RequireNativeBuild(string rid)
    {
        string published = Repository.At("artifacts", "aot", rid);
        Assert.SkipUnless(File.Exists(Path.Combine(published, "edgestream")), $"there is no native build; 'make aot RID={rid}' makes it");
        return published;
    }

    /// <summary>Unpacks a fresh system.</summary>
    internal static async Task UnpackAsync(string root)
    {
        Directory.CreateDirectory(root);
        (await Shell.RunAsync("tar", "-xf", Tarball, "-C", root)).Good();
    }

    public async ValueTask InitializeAsync()
    {
        Obstacle = await PrepareAsync();
        if (Obstacle is not null)
            Console.WriteLine($"no machine to install on: {Obstacle}");
    }

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    private async Task<string?> PrepareAsync()
    {
        if (!Environment.IsPrivilegedProcess)
            return "booting a container needs root";

        if (!File.Exists(Path.Combine(Published, "edgestream")))
            return "there is no native build; 'make aot' makes it";

        foreach (string tool in (string[])["systemd-nspawn", "mmdebstrap", "nsenter", "dpkg-deb"])
        {
            if ((await Shell.RunAsync(tool, "--version")).ExitCode == 127)
                return $"{tool} is not installed";
        }

        Directory.CreateDirectory(Folder);
        if (!File.Exists(Tarball))
        {
            // Under another name first: one that is there is whole.
            Ended made = await Shell.RunAsync(
                "mmdebstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,libssl3,procps,init-system-helpers,gpgv",
                "bookworm", Tarball + ".part.tar");
            if (made.ExitCode != 0)
                return $"a Debian system cannot be made: {made.Output.Trim().Split('\n')[^1]}";

            File.Move(Tarball + ".part.tar", Tarball);
        }

        string packages = Path.Combine(Folder, "packages");
        Package = await MakePackageAsync(Published, packages, "edgestream", []);
        string[] previous = [$"DEB_VERSION={Previous}", "DEB_COMPRESSION=gzip"];
        PreviousPackage = await MakePackageAsync(Published, packages, "edgestream", previous);
        if (File.Exists(Path.Combine(PublishedHub, "edgestream")))
        {
            HubPackage = await MakePackageAsync(PublishedHub, packages, "edgestream-hub", ["DEB_COMPRESSION=gzip"]);
            PreviousHubPackage = await MakePackageAsync(PublishedHub, packages, "edgestream-hub", previous);
        }

        return null;
    }

    private static async Task<string> MakePackageAsync(string published, string output, string name, string[] environment)
    {
        string[] command = [.. environment, Repository.At("packaging", "make-deb.sh"), published, output, name];
        string printed = (await Shell.RunAsync("env", command)).Good();
        return printed.Split('\n').Single(line => line.EndsWith(".deb", StringComparison.Ordinal) && line.StartsWith('/'));
    }
}
