using System.Diagnostics;

namespace EdgeStream.Testing;

/// <summary>A file system in memory of a few kibibytes, for a disk that is really full or really read-only.</summary>
public sealed class TinyFileSystem : IDisposable
{
    private readonly int _kibibytes;

    private TinyFileSystem(string path, int kibibytes) => (Path, _kibibytes) = (path, kibibytes);

    public string Path { get; }

    /// <summary>Mounts it; null where this process may not.</summary>
    public static TinyFileSystem? TryMount(string path, int kibibytes)
    {
        Directory.CreateDirectory(path);
        return Run("mount", "-t", "tmpfs", "-o", $"size={kibibytes}k", "edgestream-test", path) ? new TinyFileSystem(path, kibibytes) : null;
    }

    public void MakeReadOnly()
    {
        if (!Run("mount", "-o", "remount,ro", Path))
            throw new InvalidOperationException($"'{Path}' cannot be made read-only");
    }

    /// <summary>Takes away all room that is not used, as foreign files would.</summary>
    public void TakeRoom()
    {
        var drive = new DriveInfo(Path);

        // Refused where more was used meanwhile: asked again, it finds less to take.
        while (!TryResize((drive.TotalSize - drive.TotalFreeSpace) / 1024))
        {
        }
    }

    /// <summary>Gives back the room that was taken.</summary>
    public void GiveRoom()
    {
        if (!TryResize(_kibibytes))
            throw new InvalidOperationException($"'{Path}' cannot be given its room back");
    }

    public void Dispose() => Run("umount", "-l", Path);

    private bool TryResize(long kibibytes) => Run("mount", "-o", $"remount,size={kibibytes}k", Path);

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
