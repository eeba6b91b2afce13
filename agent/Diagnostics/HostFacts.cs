using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Storage.Time;

namespace EdgeStream.Agent.Diagnostics;

/// <summary>What a machine says of itself, as text.</summary>
internal static class HostFacts
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Board, kernel, memory, clocks.</summary>
    public static string Summary()
    {
        ClockReading clock = SystemClock.Instance.Read();
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"edgestream: {BuildInfo.Version}");
        text.AppendLine(CultureInfo.InvariantCulture, $"board: {FirstLine("/proc/device-tree/model")}");
        text.AppendLine(CultureInfo.InvariantCulture, $"kernel: {FirstLine("/proc/version")}");
        text.AppendLine(CultureInfo.InvariantCulture, $"processors: {Environment.ProcessorCount}");
        text.AppendLine(CultureInfo.InvariantCulture, $"time: {DateTimeOffset.UtcNow:O}, synchronised: {clock.Synchronised}, up {TimeSpan.FromMilliseconds(clock.Monotonic)}, boot {clock.BootId}");
        text.AppendLine(CultureInfo.InvariantCulture, $"user: {Environment.UserName}");
        foreach (string path in (string[])["/etc/os-release", "/proc/meminfo", "/proc/loadavg", "/proc/mounts"])
            text.Append('\n').AppendLine(path).Append(Read(path));

        return text.ToString();
    }

    /// <summary>Names, sizes and times of what lies in a directory. No contents.</summary>
    public static string Listing(string directory)
    {
        var text = new StringBuilder();
        foreach (FileSystemInfo entry in new DirectoryInfo(directory)
            .EnumerateFileSystemInfos("*", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = 0 })
            .OrderBy(entry => entry.FullName, StringComparer.Ordinal))
        {
            string size = entry is FileInfo file ? file.Length.ToString(CultureInfo.InvariantCulture) : "";
            text.AppendLine(CultureInfo.InvariantCulture, $"{Convert.ToString((int)entry.UnixFileMode, 8),4} {size,12} {entry.LastWriteTimeUtc:O} {Path.GetRelativePath(directory, entry.FullName)}");
        }

        return text.ToString();
    }

    /// <summary>What a program of the system prints.</summary>
    /// <exception cref="IOException">It is not there, or does not end.</exception>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using var timeout = new CancellationTokenSource(Patience);
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync(timeout.Token);
            string output = await process.StandardOutput.ReadToEndAsync(timeout.Token).ConfigureAwait(false);
            return output + await errors.ConfigureAwait(false);
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new IOException(missing.Message, missing);
        }
        catch (OperationCanceledException)
        {
            throw new IOException($"{program} did not end within {Patience.TotalSeconds:0} s");
        }
    }

    private static string FirstLine(string path) => Read(path).Split('\n')[0].Trim('\0', ' ');

    private static string Read(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "unknown\n";
        }
    }
}
