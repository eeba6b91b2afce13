using System.Diagnostics;

namespace EdgeStream.Testing;

/// <summary>A file system in memory of a few kibibytes, for a disk that is really full or really read-only.</summary>
public sealed class TinyFileSystem : IDisposable
{
    private TinyFileSystem(string path) => Path = path;

    public string Path { get; }

    /// <summary>Mounts it; null where this process may not.</summary>
    public static TinyFileSystem? TryMount(string path, int kibibytes)
    {
        Directory.CreateDirectory(path);
        return Run("mount", "-t", "tmpfs", "-o", $"size={kibibytes}k", "edgestream-test", path) ? new TinyFileSystem(path) : null;
    }

    public void MakeReadOnly()
    {
        if (!Run("mount", "-o", "remount,ro", Path))
            throw new InvalidOperationException($"'{Path}' cannot be made read-only");
    }

    public void Dispose() => Run("umount", "-l", Path);

    private static bool Run(string program, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true };
            using var process = Process.Start(start)!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
