using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;

namespace EdgeStream.Benchmarks;

/// <summary>Memory and start-up with a long backlog, against the same with an empty log; each in a process of its own.</summary>
internal static class BacklogBenchmark
{
    private const int Runs = 5;
    private const int ValueSize = 1024;
    private const long WantedBytes = 10_000_000_000;
    private const long SpareBytes = 15_000_000_000;

    public static async Task RunAsync(Report report)
    {
        using var directory = new TemporaryDirectory();
        long free = new DriveInfo(directory.Path).AvailableFreeSpace;
        long bytes = Math.Clamp(free - SpareBytes, 0, WantedBytes);
        string full = directory.At("full"), empty = directory.At("empty");
        await FillAsync(full, bytes);
        int segments = Directory.GetFiles(full, "*.log").Length;
        string size = string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.#} GB in {segments:#,0} segments");

        var idle = await CompareAsync(full, empty, "");
        report.Note($"| {size} | | | resident {Mebibytes(idle.Resident)} MiB, empty log {Mebibytes(idle.EmptyResident)} MiB; open {idle.Open:0.0} ms, empty log {idle.EmptyOpen:0.0} ms |");
        report.Goal($"memory with {size}, of an empty log's", idle.Resident / idle.EmptyResident, 1.1, "×", atMost: true);
        report.Goal($"start-up with {size}, of an empty log's", idle.Open / idle.EmptyOpen, 2, "×", atMost: true);

        var reading = await CompareAsync(full, empty, BacklogProcess.Reader);
        report.Note($"| {size}, a reader hangs at the start | | | resident {Mebibytes(reading.Resident)} MiB, empty log {Mebibytes(reading.EmptyResident)} MiB |");
        report.Goal($"memory with {size} and a reader that hangs, of an empty log's", reading.Resident / reading.EmptyResident, 1.1, "×", atMost: true);

        // The first opening has no crash behind it yet.
        await OpenAsync(full, BacklogProcess.Stay);
        var killed = await CompareAsync(full, empty, BacklogProcess.Stay);
        report.Note($"| {size}, killed before | | | open {killed.Open:0.0} ms, a log of some 20 MB, killed before, {killed.EmptyOpen:0.0} ms |");
    }

    /// <summary>Real appends, so that each segment and each index is what it would be.</summary>
    private static async Task FillAsync(string path, long bytes)
    {
        await using PartitionLog log = LogWorkload.Open(path);
        if (bytes > 0)
            await LogWorkload.AppendAsync(log, Payload.OfSize(ValueSize), (int)(bytes / ValueSize), AckLevel.Written);
    }

    private static async Task<(double Open, double Resident, double EmptyOpen, double EmptyResident)> CompareAsync(string full, string empty, string mode)
    {
        var opens = new List<double>();
        var residents = new List<double>();
        var emptyOpens = new List<double>();
        var emptyResidents = new List<double>();
        for (int i = 0; i < Runs; i++)
        {
            (double open, double resident) = await OpenAsync(full, mode);
            opens.Add(open);
            residents.Add(resident);

            // What the run before appended is no empty log.
            if (mode != BacklogProcess.Stay && Directory.Exists(empty))
                Directory.Delete(empty, recursive: true);

            if (!Directory.Exists(empty))
                await FillAsync(empty, 0);

            (open, resident) = await OpenAsync(empty, mode);
            emptyOpens.Add(open);
            emptyResidents.Add(resident);
        }

        return (Median(opens), Median(residents), Median(emptyOpens), Median(emptyResidents));
    }

    private static async Task<(double OpenMilliseconds, double ResidentBytes)> OpenAsync(string directory, string mode)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!, [.. Host, BacklogProcess.Command, directory, mode]) { RedirectStandardOutput = true };
        using Process child = Process.Start(start)!;
        string line = await child.StandardOutput.ReadLineAsync() ?? "";
        Match found = Regex.Match(line, @"^opened ([\d.]+) resident (\d+)");
        if (mode == BacklogProcess.Stay)
            child.Kill();

        await child.WaitForExitAsync();
        if (!found.Success)
            throw new InvalidOperationException($"the process that opens '{directory}' ended without a result");

        return (double.Parse(found.Groups[1].Value, CultureInfo.InvariantCulture), double.Parse(found.Groups[2].Value, CultureInfo.InvariantCulture));
    }

    // Started by 'dotnet program.dll' as well as by itself.
    public static string[] Host => Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? [typeof(BacklogBenchmark).Assembly.Location] : [];

    private static double Median(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }

    private static string Mebibytes(double bytes) => (bytes / (1024 * 1024)).ToString("0.0", CultureInfo.InvariantCulture);
}
