using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Harness.Network;

/// <summary>A network of its own: interfaces, addresses, routes, rules, ports. Whoever runs in it sees no other.</summary>
public sealed partial class NetworkNamespace : IDisposable
{
    internal const string Folder = "/run/netns";

    private const string SettingsFolder = "/etc/netns";
    private const int CloneNewNet = 0x40000000;

    internal NetworkNamespace(string name)
    {
        Name = name;
        SystemTool.Run("ip", "netns", "add", name);
        Ip("link", "set", "lo", "up");
    }

    /// <summary>As <c>ip netns exec</c> takes it.</summary>
    public string Name { get; }

    private string HostsFile => Path.Combine(SettingsFolder, Name, "hosts");

    /// <summary>Gives a name an address, for programs started in here by <c>ip netns exec</c>, also for those that run already.</summary>
    public void SetHost(string host, string address)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(HostsFile)!);

        // In place: the programs have this very file mounted over /etc/hosts.
        using var file = new FileStream(HostsFile, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read);
        file.Write(System.Text.Encoding.ASCII.GetBytes($"127.0.0.1 localhost\n{address} {host}\n"));
        file.SetLength(file.Position);
    }

    /// <summary>Runs an action on a thread that is in here; a socket made by it stays in here, whoever uses it then.</summary>
    public T Invoke<T>(Func<T> action)
    {
        T result = default!;
        Exception? failure = null;

        // The thread ends in here: none of the others is to find itself in another network.
        var thread = new Thread(() =>
        {
            try
            {
                using SafeFileHandle space = File.OpenHandle(Path.Combine(Folder, Name));
                if (SetNamespace((int)space.DangerousGetHandle(), CloneNewNet) != 0)
                    throw new Win32Exception();

                result = action();
            }
            catch (Exception error)
            {
                failure = error;
            }
        });
        thread.Start();
        thread.Join();
        return failure is null ? result : throw new InvalidOperationException($"in network {Name}: {failure.Message}", failure);
    }

    public void Dispose() => Remove(Name);

    internal void Ip(params string[] arguments) => SystemTool.Run("ip", ["-n", Name, .. arguments]);

    /// <summary>Runs a program in here.</summary>
    internal void Run(string program, string input, params string[] arguments) =>
        SystemTool.RunWith(input, "nsenter", [$"--net={Folder}/{Name}", "--", program, .. arguments]);

    /// <summary>Writes a kernel setting of this network, by its path below /proc/sys/net.</summary>
    internal void Set(string setting, string value) => Run("tee", value, $"/proc/sys/net/{setting}");

    /// <summary>Ends what still runs in a namespace, and removes it.</summary>
    internal static void Remove(string name)
    {
        if (SystemTool.TryRun(out string processes, "ip", "netns", "pids", name) is null)
        {
            foreach (string process in processes.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                SystemTool.TryRun("kill", "-KILL", process);
        }

        SystemTool.TryRun("ip", "netns", "del", name);
        string settings = Path.Combine(SettingsFolder, name);
        if (Directory.Exists(settings))
            Directory.Delete(settings, recursive: true);
    }

    [LibraryImport("libc", EntryPoint = "setns", SetLastError = true)]
    private static partial int SetNamespace(int descriptor, int kind);
}
