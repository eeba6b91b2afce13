using System.Globalization;

namespace EdgeStream.Benchmarks;

/// <summary>What a process has used so far, as the kernel counts it.</summary>
/// <param name="Cpu">Time of all its threads, in user and kernel mode.</param>
/// <param name="PeakBytes">The most memory that it was resident with.</param>
/// <param name="ResidentBytes">The memory that it is resident with now.</param>
/// <param name="OwnBytes">Of that, what no file can be read for again.</param>
internal readonly record struct ProcessUsage(TimeSpan Cpu, long PeakBytes, long ResidentBytes, long OwnBytes)
{
    // USER_HZ: the same on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    public static ProcessUsage Of(int process)
    {
        // What stands before the last bracket is the program's name, with whatever is in it.
        string stat = File.ReadAllText($"/proc/{process}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        double ticks = Number(fields[11]) + Number(fields[12]);
        string[] status = File.ReadAllLines($"/proc/{process}/status");
        return new ProcessUsage(
            TimeSpan.FromSeconds(ticks / TicksPerSecond), Kilobytes(status, "VmHWM:"), Kilobytes(status, "VmRSS:"),
            Kilobytes(status, "RssAnon:"));
    }

    private static long Kilobytes(string[] status, string name) => 1024 * Number(
        status.First(line => line.StartsWith(name, StringComparison.Ordinal)).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]);

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
