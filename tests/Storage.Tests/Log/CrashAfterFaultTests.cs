using EdgeStream.Storage.Tests.Log.Crashes;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>
/// A full disk and a broken one at every single call of a workload. The log may refuse and it may stop; when the disk is sound
/// again it goes on, and a power cut thereafter finds all that was acknowledged.
/// </summary>
public class CrashAfterFaultTests(ITestOutputHelper output)
{
    private const int Steps = 14;

    private readonly LogUnderTest _test = new();

    [Fact]
    public Task A_disk_that_is_full_for_one_call_loses_nothing() =>
        FailEachCallAsync(FaultyFiles.DiskFull, FaultPlan.NeedsRoom);

    [Fact]
    public Task A_disk_that_is_full_until_there_is_room_loses_nothing() =>
        FailEachCallAsync(FaultyFiles.DiskFull, FaultPlan.NeedsRoom, untilHealed: true);

    [Fact]
    public Task A_sync_that_finds_the_disk_full_loses_nothing_where_the_machine_restarts() =>
        FailEachCallAsync(FaultyFiles.DiskFull, kind => kind == OperationKind.Sync, endsAtFailure: true);

    [Fact]
    public Task A_directory_that_cannot_be_synced_loses_nothing() =>
        FailEachCallAsync(FaultyFiles.DiskFull, kind => kind == OperationKind.SyncDirectory);

    [Fact]
    public Task A_call_that_fails_loses_nothing() =>
        FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind is not (OperationKind.Sync or OperationKind.Read));

    /// <summary>A write that fails leaves its end on the disk, not its beginning, in a log that was closed cleanly before.</summary>
    [Fact]
    public Task What_a_failed_write_left_behind_does_not_come_back() =>
        FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind is not (OperationKind.Sync or OperationKind.Read), seed: 530036979);

    [Fact]
    public Task A_read_that_fails_loses_nothing() => FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind == OperationKind.Read);

    [Fact]
    public Task A_sync_that_fails_loses_nothing_where_the_machine_restarts() =>
        FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind == OperationKind.Sync, endsAtFailure: true);

    [Fact]
    public Task A_sync_that_fails_loses_nothing_where_the_log_is_opened_again() =>
        FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind == OperationKind.Sync);

    [Fact]
    public Task A_directory_that_cannot_be_synced_loses_nothing_as_the_log_is_made() =>
        FailEachCallAsync(FaultyFiles.DiskBroken, kind => kind == OperationKind.SyncDirectory, newLog: true);

    [Fact]
    public Task A_disk_that_is_full_as_the_log_is_made_loses_nothing() =>
        FailEachCallAsync(FaultyFiles.DiskFull, FaultPlan.NeedsRoom, newLog: true);

    private async Task FailEachCallAsync(
        Func<IOException> error, Func<OperationKind, bool> appliesTo, bool untilHealed = false, bool endsAtFailure = false,
        bool newLog = false, int? seed = null)
    {
        int chosen = seed ?? TestSeed.Choose(output), images = 0, call = 0;
        for (bool hit = true; hit; call++)
        {
            var faults = new FaultPlan(call, error, appliesTo, untilHealed);
            SimulatedDisk disk = newLog ? new SimulatedDisk() : await _test.NewDiskWithLogAsync();
            (disk.Faults, disk.FaultRandom) = (faults, new Random(chosen + call));
            var workload = new AppendWorkload(disk, _test, chosen) { EndsAtFailure = endsAtFailure };
            try
            {
                await workload.RunAsync(Steps);
                images += await CutAsync(disk, workload.Evidence, chosen);
            }
            catch (LogViolationException violation)
            {
                Assert.Fail($"EDGESTREAM_SEED={chosen}, call {call} ({faults.FirstHit}) failed: {violation}");
            }

            hit = faults.Hits > 0;
        }

        output.WriteLine($"{call} calls failed, {images} images");
    }

    private async Task<int> CutAsync(SimulatedDisk disk, LogEvidence evidence, int seed)
    {
        disk.Faults = null;
        var campaign = new CrashCampaign(_test, seed) { KillsProcess = false, SecondCutOneIn = 100, CheckOneIn = 10 };
        await campaign.RunAsync(disk, evidence);
        return campaign.Images;
    }
}
