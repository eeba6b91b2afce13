using System.Globalization;

namespace EdgeStream.Testing.Power;

/// <summary>
/// Directories for mounts that bear their process's number: one that was killed leaves its mounts behind, and the next run takes
/// them away.
/// </summary>
public static class OwnedDirectory
{
    private const string Prefix = "edgestream-power-";

    static OwnedDirectory() => DeleteLeftovers();

    public static string Create() => Directory.CreateTempSubdirectory($"{Prefix}{Environment.ProcessId}-").FullName;

    /// <summary>Unmounts whatever is mounted in it, and removes it.</summary>
    public static void Delete(string directory)
    {
        foreach (string point in Mounts.Below(directory))
            Tool.TryRun("umount", "-l", point);

        // What could not be unmounted is not emptied either.
        if (Mounts.Below(directory).Count == 0)
            Directory.Delete(directory, recursive: true);
    }

    private static void DeleteLeftovers()
    {
        foreach (string directory in Directory.GetDirectories(Path.GetTempPath(), Prefix + "*"))
        {
            string owner = Path.GetFileName(directory)[Prefix.Length..].Split('-')[0];
            if (int.TryParse(owner, CultureInfo.InvariantCulture, out int id) && !Directory.Exists($"/proc/{id}"))
                Delete(directory);
        }
    }
}
