using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

/// <summary>
/// Errors that the kernel itself returns to the log. One producer that waits for each acknowledgement, and segments of a few
/// batches: what is acknowledged after a failed sync was acknowledged without one.
/// </summary>
public sealed class SyncErrorTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    private WriterOptions Options =>
        new(_temp.Sub("log"), Run: 0, Producers: 1, Window: 1, SegmentBytes: 4096, Mixed: false, Appends: 200);

    public void Dispose() => _temp.Dispose();

    [Theory(Timeout = 120_000)]
    [InlineData("fdatasync", 1)]
    [InlineData("fdatasync", 2)]
    [InlineData("fdatasync", 3)]
    [InlineData("fdatasync", 7)]
    [InlineData("fdatasync", 20)]
    [InlineData("fsync", 1)]
    [InlineData("fsync", 2)]
    [InlineData("fsync", 3)]
    [InlineData("fsync", 5)]
    public async Task Failed_sync_is_the_end_of_all_acknowledgements(string call, int when)
    {
        Strace strace = Fail(call, "EIO", $"{when}");
        using WriterProcess writer = await RunAsync(strace);
        Assert.True(strace.Struck, $"{call} number {when} was never made");
        Assert.Contains(writer.Lines, line => line.StartsWith(Report.Failed, StringComparison.Ordinal));
        Assert.DoesNotContain(Report.Done, writer.Lines.TakeWhile(line => !line.StartsWith(Report.Failed, StringComparison.Ordinal)));
        AssertNothingAcknowledgedSinceFault(strace);
        await AssertKeptAsync(writer);
    }

    [Fact(Timeout = 120_000)]
    public async Task Disk_that_fails_every_sync_acknowledges_nothing()
    {
        // The log is there already; the load is that of many producers.
        await using (PartitionLog log = PartitionLog.Open(Options.Directory, NewManifest, Options.ToLogOptions(), settings: WriterOptions.Settings))
        {
        }

        Strace strace = Fail("fdatasync", "EIO", "2+");
        using WriterProcess writer = await RunAsync(strace, Options with { Producers = 4, Window = 8 });
        Assert.True(strace.Struck, "there was no second fdatasync");
        AssertNothingAcknowledgedSinceFault(strace);
        Assert.Empty(writer.Acknowledged);
        await AssertKeptAsync(writer);
    }

    [Theory(Timeout = 120_000)]
    [InlineData("5")]
    [InlineData("6..9")]
    [InlineData("3+7")]
    public async Task Full_disk_refuses_single_appends_and_the_log_goes_on(string when)
    {
        // strace counts the writes of each thread: which thread writes records, and which the checkpoint that can do without, is chance.
        bool refused = false;
        for (int attempt = 0; attempt < 10 && !refused; attempt++)
        {
            Strace strace = Fail("pwrite64,pwritev", "ENOSPC", when);
            WriterOptions options = Options with { Directory = _temp.Sub($"log-{attempt}") };

            // The files of a new log are small and must all be written.
            await using (PartitionLog log = PartitionLog.Open(options.Directory, NewManifest, options.ToLogOptions(), settings: WriterOptions.Settings))
            {
            }

            using WriterProcess writer = await RunAsync(strace, options);
            Assert.True(strace.Struck, $"write number {when} was never made");
            Assert.Contains(Report.Done, writer.Lines);
            Assert.DoesNotContain(writer.Lines, line => line.StartsWith(Report.Failed, StringComparison.Ordinal));
            await AssertKeptAsync(writer, options, refusals: true);
            refused = writer.Lines.Contains(Report.Full);
        }

        Assert.True(refused, "the disk was full for no record");
    }

    private static PartitionManifest NewManifest() => PartitionManifest.CreateNew("power", 0, new Dictionary<string, string>());

    private static void AssertNothingAcknowledgedSinceFault(Strace strace) =>
        Assert.DoesNotContain(strace.CallsSinceFault, line => line.Contains("\"acknowledged", StringComparison.Ordinal));

    private Strace Fail(string calls, string error, string when)
    {
        Assert.SkipWhen(Strace.Obstacle is not null, Strace.Obstacle ?? "");
        return Strace.Fail(calls, error, when, _temp.Sub("strace"));
    }

    private async Task<WriterProcess> RunAsync(Strace strace, WriterOptions? options = null)
    {
        WriterProcess writer = WriterProcess.Start(options ?? Options, strace.Command);
        writer.Begin();
        await writer.EndAsync();
        return writer;
    }

    private async Task AssertKeptAsync(WriterProcess writer, WriterOptions? options = null, bool refusals = false)
    {
        options ??= Options;
        var ledger = new Ledger(options.Directory);
        ledger.Add(writer, AckLevel.Written);
        await ledger.CheckAsync(options.ToLogOptions(), refusals);
    }
}
