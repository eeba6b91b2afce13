using System.Diagnostics;
using System.Globalization;

namespace EdgeStream.Benchmarks;

/// <summary>A disk of its own with ext4 on it, in a file, so that all that is written to it can be told apart from the rest.</summary>
internal sealed class LoopDisk : IDisposable
{
    private const long SectorBytes = 512;
    private readonly string _image;
    private readonly string _device;

    private LoopDisk(string image, string path, string device)
    {
        _image = image;
        Path = path;
        _device = System.IO.Path.GetFileName(device);
    }

    public string Path { get; }

    /// <summary>Makes and mounts it under a directory; null where this process may not, or mkfs.ext4 is not there.</summary>
    public static LoopDisk? TryMount(string directory, long bytes)
    {
        string image = System.IO.Path.Combine(directory, "disk.img"), path = System.IO.Path.Combine(directory, "disk");
        Directory.CreateDirectory(path);
        using (FileStream file = File.Create(image))
            file.SetLength(bytes);

        // Nothing left to be initialised in the background: that would be counted.
        if (Run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image) is null || Run("mount", "-o", "loop", image, path) is null)
            return null;

        return new LoopDisk(image, path, Run("findmnt", "-n", "-o", "SOURCE", path)!.Trim());
    }

    /// <summary>Bytes that the device was given so far, after everything has been written back.</summary>
    public long WrittenBytes()
    {
        Run("sync", "-f", Path);
        string[] fields = File.ReadAllText($"/sys/block/{_device}/stat").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return long.Parse(fields[6], CultureInfo.InvariantCulture) * SectorBytes;
    }

    public void Dispose()
    {
        Run("umount", "-l", Path);
        File.Delete(_image);
    }

    private static string? Run(string program, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            process.ErrorDataReceived += (_, _) => { };
            process.BeginErrorReadLine();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? output : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }
}
