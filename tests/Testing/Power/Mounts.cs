namespace EdgeStream.Testing.Power;

/// <summary>What is mounted, as the kernel tells it.</summary>
public static class Mounts
{
    /// <summary>Mount points below a directory, the last mounted first: in this order they can be unmounted.</summary>
    public static IReadOnlyList<string> Below(string directory) =>
        [.. All().Select(mount => mount.Point).Where(point => point.StartsWith(directory + "/", StringComparison.Ordinal)).Reverse()];

    /// <summary>Whether the ext4 that is mounted there lives in a loop device of this very file.</summary>
    public static bool IsLoopOf(string point, string image)
    {
        (string device, _, string type) = All().LastOrDefault(mount => mount.Point == point);
        if (type != "ext4" || !device.StartsWith("/dev/loop", StringComparison.Ordinal))
            return false;

        return BackingFile($"/sys/block/{Path.GetFileName(device)}") == image;
    }

    /// <summary>Whether any loop device lives in this file.</summary>
    public static bool HasLoopOf(string image) => Directory.GetDirectories("/sys/block", "loop*").Any(device => BackingFile(device) == image);

    private static string? BackingFile(string device)
    {
        try
        {
            return File.ReadAllText($"{device}/loop/backing_file").TrimEnd();
        }
        catch (IOException)
        {
            // In use by nobody, perhaps since this moment.
            return null;
        }
    }

    private static IEnumerable<(string Device, string Point, string Type)> All() =>
        File.ReadAllLines("/proc/self/mounts").Select(line => line.Split(' ')).Select(fields => (fields[0], fields[1], fields[2]));
}
