using System.Diagnostics;

namespace EdgeStream.Harness;

/// <summary>Copies of directories, with owners, modes and times, as a backup has them.</summary>
public static class DirectoryCopy
{
    /// <summary>Copies a directory to a path where nothing is yet.</summary>
    public static async Task MakeAsync(string from, string to)
    {
        using Process copy = Process.Start("cp", ["-a", from, to]);
        await copy.WaitForExitAsync();
        if (copy.ExitCode != 0)
            throw new InvalidOperationException($"'{from}' cannot be copied to '{to}'; cp ended with {copy.ExitCode}");
    }
}
