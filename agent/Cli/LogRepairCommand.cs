using System.CommandLine;
using EdgeStream.Agent.Hosting;
using EdgeStream.Cluster;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using EdgeStream.Storage.Tools;

namespace EdgeStream.Agent.Cli;

/// <summary><c>log repair</c>: makes gaps of what cannot be read, and says what was lost.</summary>
internal static class LogRepairCommand
{
    private static readonly Argument<string?> Topic = new("topic")
    {
        Description = "Only this topic",
        Arity = ArgumentArity.ZeroOrOne,
        DefaultValueFactory = _ => null,
    };

    public static Command Create()
    {
        var command = new CliCommand(
            "repair",
            "Note what cannot be read as lost, keep its bytes aside, and say what it was; the node must be stopped, and the user be the node's",
            "edgestream log repair --data /var/lib/edgestream readings")
        {
            Arguments = { Topic },
            Options = { LocalPartitions.Data },
        };
        command.DoesWithExitCode((result, cancellationToken) => LogCommands.OnDiskAsync(() => RepairAsync(result, cancellationToken)));
        return command;
    }

    private static async Task<int> RepairAsync(ParseResult result, CancellationToken cancellationToken)
    {
        string data = NodePaths.Data(result.GetValue(LocalPartitions.Data));

        // Before the lock, which would make the directory where it is missing.
        IReadOnlyList<LocalPartition> partitions = LocalPartitions.Find(data, result.GetValue(Topic));
        using DataDirectory directory = DataDirectory.Open(data);
        AgeClock age = AgeClock.Open(DiskFiles.Instance, directory.Path, SystemClock.Instance);
        var done = new List<string>();
        var failed = new List<string>();
        await ReadProgress.ShowAsync("repairing", partitions.Sum(LogVerifyCommand.SizeOf), async read =>
        {
            foreach (LocalPartition partition in partitions)
            {
                try
                {
                    RepairOutcome outcome = await PartitionRepair.RunAsync(
                        DiskFiles.Instance, partition.Directory, SettingsOf(partition), () => age.Now, read).ConfigureAwait(false);
                    done.AddRange(Lines(outcome).Select(line => $"{partition}: {line}"));
                }
                catch (Exception error) when (error is EdgeStreamException or IOException or UnauthorizedAccessException)
                {
                    failed.Add($"{partition}: {error.Message}");
                }
            }
        }, cancellationToken).ConfigureAwait(false);

        foreach (string line in done)
            result.InvocationConfiguration.Output.WriteLine(line);

        foreach (string line in failed)
            result.InvocationConfiguration.Error.WriteLine($"edgestream: {line}");

        if (done.Count == 0 && failed.Count == 0)
            result.InvocationConfiguration.Output.WriteLine("nothing to repair");

        return failed.Count == 0 ? 0 : 1;
    }

    private static IEnumerable<string> Lines(RepairOutcome outcome)
    {
        foreach (Gap gap in outcome.Lost)
        {
            string size = gap.Bytes > 0 ? $", {gap.Bytes} bytes" : "";
            string records = gap.Records == 1 ? "1 record" : $"{gap.Records} records";
            yield return $"offsets {gap.First} to {gap.Last} are lost ({records}{size}) and noted as a gap";
        }

        foreach (string path in outcome.Kept)
            yield return $"damaged bytes are kept in '{path}'";

        if (outcome.TornBytes > 0)
            yield return $"{outcome.TornBytes} bytes of an interrupted write were cut off behind the last whole batch; nobody has seen them";

        foreach (string path in outcome.DroppedIndexes)
            yield return $"the damaged index '{path}' was removed; lookups do without it";
    }

    /// <summary>What of the topic's settings matters here. A hub's copy is where records end, and is mirrored no further.</summary>
    private static LogSettings SettingsOf(LocalPartition partition)
    {
        IReadOnlyDictionary<string, string>? kept = PartitionManifest.TryRead(DiskFiles.Instance, partition.Directory)?.Settings;
        bool isMirrored = kept?.GetValueOrDefault("mirror") == "true" && !kept.ContainsKey("geo-location");
        return LogSettings.Default with { IsMirrored = isMirrored };
    }
}
