using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class MirrorMarksTests : IAsyncLifetime
{
    private readonly TempDirectory _temp = new();
    private PartitionLog _log = null!;

    public async ValueTask InitializeAsync()
    {
        _log = Open("log");
        for (int i = 0; i < 100; i++)
            await _log.AppendAsync(Batches.Of("a"), AckLevel.Durable);
    }

    public async ValueTask DisposeAsync()
    {
        await _log.DisposeAsync();
        _temp.Dispose();
    }

    [Fact]
    public void All_have_what_the_slowest_has_and_any_what_the_fastest_has()
    {
        MirrorMarks all = Joined(MirrorRule.All, "a", "b");
        all.Report(_log, "a", 30);
        Assert.Equal(0, _log.Offsets.Mirrored);
        all.Report(_log, "b", 10);
        Assert.Equal(10, _log.Offsets.Mirrored);
        all.Report(_log, "b", 40);
        Assert.Equal(30, _log.Offsets.Mirrored);

        MirrorMarks any = Joined(MirrorRule.Any, "a", "b");
        any.Report(_log, "a", 50);
        Assert.Equal(50, _log.Offsets.Mirrored);
        any.Report(_log, "b", 45);
        Assert.Equal(50, _log.Offsets.Mirrored);
    }

    [Fact]
    public void Hub_that_joins_later_counts_but_takes_nothing_back()
    {
        MirrorMarks marks = Joined(MirrorRule.All, "a");
        marks.Report(_log, "a", 30);
        marks.Join("b");
        marks.Report(_log, "a", 60);
        marks.Report(_log, "b", 0);
        Assert.Equal(30, _log.Offsets.Mirrored);
        marks.Report(_log, "b", 50);
        Assert.Equal(50, _log.Offsets.Mirrored);
    }

    [Fact]
    public async Task Hub_that_is_left_counts_for_no_log_any_more()
    {
        await using PartitionLog other = Open("other");
        await other.AppendAsync(Batches.Of("a"), AckLevel.Durable);
        MirrorMarks marks = Joined(MirrorRule.All, "a", "b");
        marks.Report(_log, "a", 60);
        marks.Report(_log, "b", 20);
        marks.Report(other, "a", 1);
        marks.Leave("b");
        Assert.Equal((60, 1), (_log.Offsets.Mirrored, other.Offsets.Mirrored));

        // What it says late is not heard.
        marks.Report(_log, "b", 70);
        Assert.Equal(60, _log.Offsets.Mirrored);
        Assert.Null(marks.Find(_log, "b"));
        marks.Leave("a");
        Assert.Equal(60, _log.Offsets.Mirrored);
    }

    [Fact]
    public void Lag_is_each_hubs_own()
    {
        MirrorMarks marks = Joined(MirrorRule.Any, "a", "b");
        marks.Report(_log, "a", 80);
        Assert.Equal(_log.Offsets.Durable - 20, new HubMarks(marks, "a").Of(_log));

        // Nothing is known of it yet but the log's own mark.
        Assert.Equal(_log.Offsets.Durable - 20, new HubMarks(marks, "b").Of(_log));
        marks.Report(_log, "b", 5);
        Assert.Equal(_log.Offsets.Durable - 95, new HubMarks(marks, "b").Of(_log));
    }

    private static MirrorMarks Joined(MirrorRule rule, params string[] hubs)
    {
        var marks = new MirrorMarks(rule);
        Array.ForEach(hubs, marks.Join);
        return marks;
    }

    private PartitionLog Open(string name) => PartitionLog.Open(
        _temp.Sub(name), () => PartitionManifest.CreateNew("t", 0, new Dictionary<string, string>()), files: new FaultyFiles());
}
