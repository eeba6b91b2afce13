using System.Globalization;

namespace EdgeStream.Harness.Network;

/// <summary>
/// Names of what outlives a process that is killed: network namespaces, and directories in which something may be mounted. They
/// bear their process's number; the next run takes away what belongs to none that lives.
/// </summary>
internal static class Leftovers
{
    private const string Prefix = "edgestream-net-";

    private static readonly Lock OncePerProcess = new();
    private static int _names;
    private static bool _removed;

    /// <summary>A name that no other process and no other call gets.</summary>
    public static string NewName() => $"{Prefix}{Environment.ProcessId}-{Interlocked.Increment(ref _names)}";

    /// <summary>Removes what earlier runs have left; what other runs are using stays.</summary>
    public static void Remove()
    {
        lock (OncePerProcess)
        {
            if (_removed)
                return;

            _removed = true;
            if (Directory.Exists(NetworkNamespace.Folder))
            {
                foreach (string path in Directory.GetFiles(NetworkNamespace.Folder, Prefix + "*").Where(IsOrphan))
                    NetworkNamespace.Remove(Path.GetFileName(path));
            }

            foreach (string directory in Directory.GetDirectories(Path.GetTempPath(), Prefix + "*").Where(IsOrphan))
                RemoveDirectory(directory);
        }
    }

    /// <summary>Unmounts whatever is mounted in it, and removes it.</summary>
    public static void RemoveDirectory(string directory)
    {
        foreach (string point in MountsBelow(directory))
            SystemTool.TryRun("umount", "-l", point);

        // What could not be unmounted is not emptied either.
        if (MountsBelow(directory).Count > 0)
            return;

        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (IOException)
        {
            // Another run removes it as well, or a process that is about to die still writes into it.
        }
    }

    private static bool IsOrphan(string path)
    {
        string owner = Path.GetFileName(path)[Prefix.Length..].Split('-')[0];
        return int.TryParse(owner, CultureInfo.InvariantCulture, out int process) && !Directory.Exists($"/proc/{process}");
    }

    private static List<string> MountsBelow(string directory) =>
    [
        .. File.ReadAllLines("/proc/self/mounts")
            .Select(line => line.Split(' ')[1])
            .Where(point => point.StartsWith(directory + "/", StringComparison.Ordinal))
            .Reverse(),
    ];
}
