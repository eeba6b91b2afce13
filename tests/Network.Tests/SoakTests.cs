using System.Globalization;
using EdgeStream.Harness;

namespace EdgeStream.Network.Tests;

/// <summary>
/// One thing after the other goes wrong, for a minute, or for SOAK_MINUTES; then everything is well, and each record is accounted
/// for. EDGESTREAM_SEED repeats what a printed seed did; what the kernel and the scheduler do meanwhile is never quite the same.
/// </summary>
public sealed class SoakTests
{
    private const int RecordsPerSecond = 200;

    [Fact(Timeout = 24 * 3600 * 1000)]
    public async Task Each_record_is_accounted_for_after_everything_that_can_happen()
    {
        double? minutes = Number("SOAK_MINUTES");
        TimeSpan duration = TimeSpan.FromMinutes(minutes ?? 1), longestFault = TimeSpan.FromSeconds(minutes is null ? 3 : 12);
        int seed = (int?)Number("EDGESTREAM_SEED") ?? Random.Shared.Next();
        var history = new List<string>();
        Console.WriteLine($"soak EDGESTREAM_SEED={seed}");
        try
        {
            using MirrorSite site = await MirrorSite.StartAsync(
                """retention = { bytes = "16MiB" }""", hubDiskMebibytes: (int)(512 + (duration.TotalMinutes * 32)));
            using var producer = new CountingProducer(site.EdgeClient, MirrorSite.Topic, RecordsPerSecond);
            int faults = await new Soak(site, producer, seed, longestFault, Log).RunAsync(duration);
            await producer.StopAsync();
            await AssertAccountedForAsync(site, producer, faults);
        }
        catch (Exception error)
        {
            throw new InvalidOperationException($"EDGESTREAM_SEED={seed}: {error.Message}\n{string.Join('\n', history)}", error);
        }

        void Log(string line)
        {
            history.Add(line);
            if (minutes is not null)
                Console.WriteLine(line);
        }
    }

    private static async Task AssertAccountedForAsync(MirrorSite site, CountingProducer producer, int faults)
    {
        var atHub = new HashSet<long>();
        var others = new List<string>();
        MirrorAudit audit = await site.AuditAsync(record =>
        {
            atHub.Add(record.Offset);
            if (producer.Acknowledged.TryGetValue(record.Offset, out long number) && number != CountingProducer.NumberOf(record))
                others.Add($"{record.Offset} holds {CountingProducer.NumberOf(record)}, acknowledged was {number}");
        });
        List<(long First, long Last, string Reason)> gaps = await MirrorSite.GapsAsync(site.HubClient);
        bool IsLost(long offset) => gaps.Any(gap => gap.First <= offset && offset <= gap.Last);
        long[] missing = [.. producer.Acknowledged.Keys.Where(offset => !atHub.Contains(offset) && !IsLost(offset))];
        Console.WriteLine(
            $"soak: {faults} faults, {producer.Acknowledged.Count} records acknowledged, {audit.Records} at the hub, "
            + $"{audit.Lost} lost in {gaps.Count} gaps");
        Assert.Empty(others);
        Assert.Empty(missing);
        Assert.NotEmpty(producer.Acknowledged);
    }

    private static double? Number(string variable) =>
        double.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out double number) ? number : null;
}
