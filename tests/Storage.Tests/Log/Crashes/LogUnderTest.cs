using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>How the log is opened, and what the harness is told of it beyond appends and reads.</summary>
public sealed record LogUnderTest
{
    public static readonly string Directory = SimulatedDisk.Root + "/log";

    public LogOptions Options { get; init; } = new() { SegmentBytes = 1500, IndexIntervalBytes = 200 };

    public LogSettings Settings { get; init; } = new() { Overflow = OverflowPolicy.Reject };

    /// <summary>
    /// Which gaps let the log forget durable records: those of retention, or of a full disk by policy. What was promised and lies
    /// in any other is a violation.
    /// </summary>
    public Func<Gap, bool> MayForget { get; init; } = gap => gap.Reason is GapReason.Retention or GapReason.Overflow;

    /// <summary>Whether the workload tells the log now and then that the hub is as far: what that has may go without a gap.</summary>
    public bool TellsMirrored { get; init; } = true;

    /// <summary>What the workload does besides, now and then: drop what retention would, for example.</summary>
    public Func<PartitionLog, Random, Task>? Maintain { get; init; }

    /// <summary>What stands between the log and the disk, to plant a mistake.</summary>
    public Func<IStorageFiles, IStorageFiles> Between { get; init; } = files => files;

    /// <summary>A disk with an empty log, all of it durable: where how a log is made is not what is looked at.</summary>
    public async Task<SimulatedDisk> NewDiskWithLogAsync()
    {
        var disk = new SimulatedDisk();
        await (this with { Between = files => files }).Open(disk).DisposeAsync();
        var state = new CrashState(disk, CrashModel.Journaled, seed: 0);
        while (state.Advance())
        {
        }

        return state.Killed();
    }

    public PartitionLog Open(SimulatedDisk disk) => PartitionLog.Open(
        Directory, () => PartitionManifest.CreateNew("readings", 0, new Dictionary<string, string>()), Options, Between(disk), Settings);
}
