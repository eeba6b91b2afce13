using System.Globalization;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Testing.Power;

namespace EdgeStream.Packaging.Tests;

/// <summary>A container in which systemd is the first process, as on a device. It has no network but its own.</summary>
internal sealed class Machine : IDisposable
{
    private readonly ChildProcess _nspawn;
    private int _init;
    private bool _disposed;

    private Machine(string root, ChildProcess nspawn) => (Root, _nspawn) = (root, nspawn);

    public string Root { get; }

    /// <summary>A client on the edge's socket; the caller disposes it.</summary>
    public EdgeStreamClient Connect() => new(new ClientOptions { Endpoint = $"unix:/proc/{_init}/root/run/edgestream/edgestream.sock" });

    /// <summary>Boots what is in a directory, and waits until all units have started.</summary>
    /// <param name="root">The root file system.</param>
    /// <param name="options">More for systemd-nspawn.</param>
    public static async Task<Machine> BootAsync(string root, params string[] options)
    {
        RemoveLeftovers();
        string[] quiet = ["-q", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=read-only", "--machine=device"];

        // Under an init that is not systemd, nspawn wants this to be a file system of its own.
        const string Runtime = "/run/systemd/nspawn";
        Directory.CreateDirectory(Runtime);
        if (!File.ReadAllText("/proc/self/mounts").Contains($" {Runtime} ", StringComparison.Ordinal) && !Directory.Exists("/run/systemd/system"))
            Tool.Run("mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", Runtime);

        var machine = new Machine(root, ChildProcess.Start(
            "systemd-nspawn", "systemd-nspawn", [.. quiet, "-D", root, .. options],
            new Dictionary<string, string> { ["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "0" }));
        try
        {
            await Condition.WaitAsync(
                () => $"the machine boots:\n{machine._nspawn.Output}",
                async () => machine.FindInit() && (await machine.TryAsync("systemctl", "is-system-running")).Output.Trim() is "running" or "degraded");
            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    /// <summary>Runs a program in it.</summary>
    public Task<Ended> TryAsync(params string[] command) =>
        Shell.RunAsync("nsenter", ["-t", $"{_init}", "-a", .. command]);

    /// <summary>Runs a program in it that has to work; what it prints.</summary>
    public async Task<string> RunAsync(params string[] command) => (await TryAsync(command)).Good().Trim();

    /// <summary>Runs a line of the shell in it that has to work.</summary>
    public Task<string> ShAsync(string script) => RunAsync("sh", "-ec", script);

    /// <summary>A property of the edge's unit.</summary>
    public Task<string> PropertyAsync(string name, string unit = "edgestream") => RunAsync("systemctl", "show", "-P", name, unit);

    public Task WaitForAsync(string what, Func<Task<bool>> condition, TimeSpan? deadline = null) =>
        Condition.WaitAsync(() => $"{what}; the journal says:\n{JournalAsync().GetAwaiter().GetResult()}", condition, deadline);

    public Task WaitForPropertyAsync(string name, string value) =>
        WaitForAsync($"{name} is {value}", async () => await PropertyAsync(name) == value);

    /// <summary>What the journal has of the edge.</summary>
    public async Task<string> JournalAsync() => (await TryAsync("journalctl", "-u", "edgestream*", "--no-pager", "-o", "short")).Output;

    /// <summary>Installs a package; what the installation prints.</summary>
    public async Task<Ended> InstallAsync(string package)
    {
        string name = Path.GetFileName(package);
        File.Copy(package, Path.Combine(Root, "root", name), overwrite: true);
        Ended installed = await TryAsync("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", "-i", $"/root/{name}");
        File.Delete(Path.Combine(Root, "root", name));
        return installed;
    }

    public Task<string> ProduceAsync(string line) => ShAsync($"echo '{line}' | edgestream produce readings");

    public Task<string> ConsumeAsync() => RunAsync("edgestream", "consume", "readings", "-B", "-d");

    /// <summary>As the power button does it.</summary>
    public async Task PowerOffAsync()
    {
        await TryAsync("systemctl", "poweroff");
        await Condition.WaitAsync("the machine is off", () => _nspawn.HasExited);
    }

    /// <summary>All of its processes are gone at once. May be called again.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;

        _disposed = true;
        if (_init != 0 && Directory.Exists($"/proc/{_init}"))
            Tool.TryRun("kill", "-9", $"{_init}");

        try
        {
            Condition.WaitAsync("the container ends", () => _nspawn.HasExited, TimeSpan.FromSeconds(10)).GetAwaiter().GetResult();
        }
        catch (TimeoutException)
        {
            // It is killed below.
        }

        _nspawn.Dispose();
        RemoveLeftovers();
    }

    /// <summary>Control groups of an earlier container that was killed would keep the next one from starting.</summary>
    private static void RemoveLeftovers()
    {
        foreach (string group in (string[])["systemd/payload", "systemd/supervisor", "unified/payload", "unified/supervisor"])
            Tool.TryRun("find", $"/sys/fs/cgroup/{group}", "-depth", "-type", "d", "-exec", "rmdir", "{}", ";");
    }

    /// <summary>The process that is number one inside.</summary>
    private bool FindInit()
    {
        if (_nspawn.HasExited)
            throw new InvalidOperationException($"the machine does not boot:\n{_nspawn.Output}");

        _init = Descendants(_nspawn.Id, depth: 2).FirstOrDefault(IsInit);
        return _init != 0;
    }

    private static IEnumerable<int> Descendants(int process, int depth)
    {
        string path = $"/proc/{process}/task/{process}/children";
        if (depth == 0 || !File.Exists(path))
            return [];

        int[] children = [.. File.ReadAllText(path).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(id => int.Parse(id, CultureInfo.InvariantCulture))];
        return [.. children, .. children.SelectMany(child => Descendants(child, depth - 1))];
    }

    private static bool IsInit(int process)
    {
        try
        {
            return File.ReadLines($"/proc/{process}/status").Any(line =>
                line.StartsWith("NSpid:", StringComparison.Ordinal) && line.Split('\t', StringSplitOptions.RemoveEmptyEntries) is [_, _, .., "1"]);
        }
        catch (IOException)
        {
            return false;
        }
    }
}
