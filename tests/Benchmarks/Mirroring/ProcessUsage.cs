using System.Globalization;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>What a process has used so far, as the kernel counts it.</summary>
/// <param name="Cpu">Time of all its threads, in user and kernel mode.</param>
/// <param name="PeakBytes">The most memory that it was resident with.</param>
internal readonly record struct ProcessUsage(TimeSpan Cpu, long PeakBytes)
{
    // USER_HZ: the same on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    public static ProcessUsage Of(int process)
    {
        // What stands before the last bracket is the program's name, with whatever is in it.
        string stat = File.ReadAllText($"/proc/{process}/stat");
        string[] fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        double ticks = Number(fields[11]) + Number(fields[12]);
        string peak = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return new ProcessUsage(TimeSpan.FromSeconds(ticks / TicksPerSecond), 1024 * Number(peak.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)[1]));
    }

    private static long Number(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
