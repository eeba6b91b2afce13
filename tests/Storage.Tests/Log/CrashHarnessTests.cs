using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;
using EdgeStream.Storage.Tests.Log.Crashes;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>Who watches the watchman: mistakes are planted, and the crash tests have to find every one of them.</summary>
public class CrashHarnessTests(ITestOutputHelper output)
{
    private const int Attempts = 25;

    [Fact]
    public Task Without_a_mistake_nothing_is_found() =>
        RunAsync(new LogUnderTest(), TestSeed.Choose(output), new SimulatedDisk());

    [Fact]
    public Task Syncs_that_do_nothing_are_found() => MustBeFoundAsync(PlantedMistakes.NeverSyncs);

    [Fact]
    public Task Directories_that_are_never_synced_are_found() => MustBeFoundAsync(PlantedMistakes.NeverSyncsDirectories);

    [Fact]
    public Task Directories_that_are_synced_after_the_acknowledgement_are_found() =>
        MustBeFoundAsync(PlantedMistakes.SyncsDirectoriesTooLate);

    [Fact]
    public Task A_sync_of_the_wrong_file_is_found() => MustBeFoundAsync(PlantedMistakes.SyncsTheWrongFile);

    [Fact]
    public Task A_rename_that_is_not_atomic_is_found() =>
        MustBeFoundAsync(PlantedMistakes.RenamesByCopy, newLog: true);

    [Fact]
    public Task A_failed_sync_that_is_reported_as_good_is_found()
    {
        int failAt = 0;
        return MustBeFoundAsync(
            PlantedMistakes.TakesFailedSyncsForGood,
            () => new FaultPlan(5 + failAt++, FaultyFiles.DiskBroken, kind => kind == OperationKind.Sync));
    }

    [Fact]
    public Task An_acknowledgement_before_the_sync_is_found() => MustBeFoundAsync(files => files, believesWritten: true);

    [Fact]
    public async Task A_segment_that_is_gone_is_found_unless_a_gap_accounts_for_it()
    {
        var test = new LogUnderTest();
        var disk = new SimulatedDisk();
        var workload = new AppendWorkload(disk, test, TestSeed.Choose(output));
        await workload.RunAsync(steps: 20);
        string first = disk.ListFiles(LogUnderTest.Directory).Select(file => file.Name).Where(IsSegment).Order(StringComparer.Ordinal).First();
        disk.Delete(Path.Combine(LogUnderTest.Directory, first));

        LogPromise promise = workload.Evidence.At(disk.OperationCount, processOnly: true);
        await Assert.ThrowsAsync<LogViolationException>(() => new ImageChecker(test, new Random(1), depth: 1).CheckAsync(disk, promise));

        LogUnderTest forgiving = test with { MayForget = _ => true };
        await new ImageChecker(forgiving, new Random(1), depth: 2).CheckAsync(disk, promise);
    }

    private static bool IsSegment(string name) => SegmentFileName.TryParseLog(name, out _);

    private async Task MustBeFoundAsync(
        Func<IStorageFiles, IStorageFiles> mistake, Func<FaultPlan>? faults = null, bool believesWritten = false, bool newLog = false)
    {
        // Which image shows it is chance, so it gets a few workloads.
        int seed = TestSeed.Choose(output);
        var test = new LogUnderTest { Between = mistake };
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            SimulatedDisk disk = newLog ? new SimulatedDisk() : await test.NewDiskWithLogAsync();
            disk.Faults = faults?.Invoke();
            try
            {
                await RunAsync(test, seed + attempt, disk, believesWritten);
            }
            catch (LogViolationException found)
            {
                output.WriteLine(found.Message);
                return;
            }
        }

        Assert.Fail($"EDGESTREAM_SEED={seed}: the mistake was not found");
    }

    private static async Task RunAsync(LogUnderTest test, int seed, SimulatedDisk disk, bool believesWritten = false)
    {
        var workload = new AppendWorkload(disk, test, seed, believesWritten);
        await workload.RunAsync(steps: 20);
        await new CrashCampaign(test, seed) { SecondCutOneIn = 50, KillsProcess = false }.RunAsync(disk, workload.Evidence);
    }
}
