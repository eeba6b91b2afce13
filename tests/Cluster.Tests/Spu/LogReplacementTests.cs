using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Spu;

/// <summary>Another log in a partition's place: at every step it is the whole old one, or the whole new one.</summary>
public sealed class LogReplacementTests : IDisposable
{
    private readonly TempDirectory _temp = new();
    private readonly FaultyFiles _files = new();

    private string Partition => Path.Combine(_temp.Sub("data"), "topics", "t", "0");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task New_log_begins_at_the_offset_with_what_was_carried_over()
    {
        Guid before;
        await using (NodeParts parts = await StartAsync())
        {
            before = parts.Log("t").Manifest.Incarnation;
            await parts.Controller.ReplaceLogAsync("t", firstOffset: 100, carryFrom: 2);
            AssertReplaced(parts, before);
            await parts.Log("t").AppendAsync(Batches.Of("d"), AckLevel.Durable);
        }

        await using NodeParts again = await OpenAsync();
        Assert.Equal(["b", "c", "d"], Batches.ReadValues(again.Log("t"), from: 100));
        Assert.Equal(new LogOffsets(100, 100, 103, 103), again.Log("t").Offsets);
    }

    [Fact]
    public async Task Nothing_to_carry_leaves_an_empty_log_at_the_offset()
    {
        await using (NodeParts parts = await StartAsync())
            await parts.Controller.ReplaceLogAsync("t", firstOffset: 50, carryFrom: 4);

        await using NodeParts again = await OpenAsync();
        Assert.Equal(new LogOffsets(50, 50, 50, 50), again.Log("t").Offsets);
        Assert.Empty(again.Log("t").Gaps);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Power_cut_at_any_step_leaves_the_old_log_or_the_new_one(int step)
    {
        Guid before;
        string built = _temp.Sub("built"), old = _temp.Sub("old");
        await using (NodeParts parts = await StartAsync())
            before = parts.Log("t").Manifest.Incarnation;

        CopyTo(old);
        await using (NodeParts parts = await OpenAsync())
            await parts.Controller.ReplaceLogAsync("t", firstOffset: 100, carryFrom: 2);

        // The directories as they lie there after each step.
        Directory.Move(Partition, built);
        foreach ((string from, string suffix) in step switch
        {
            0 => [(old, ""), (built, ".replacing")],
            1 => [(old, ""), (built, ".replacement")],
            2 => [(old, ".replaced"), (built, ".replacement")],
            _ => ((string, string)[])[(old, ".replaced"), (built, "")],
        })
        {
            Directory.Move(from, Partition + suffix);
        }

        await using NodeParts again = await OpenAsync();
        if (step < 2)
            Assert.Equal((before, 4L), (again.Log("t").Manifest.Incarnation, again.Log("t").Offsets.End));
        else
            AssertReplaced(again, before);

        Assert.Equal([Partition], Directory.GetDirectories(Path.GetDirectoryName(Partition)!));
    }

    [Fact]
    public async Task Without_room_the_old_log_stays()
    {
        await using NodeParts parts = await StartAsync();
        Guid before = parts.Log("t").Manifest.Incarnation;
        _files.BeforeWrite = _ =>
        {
            if (Directory.Exists(Partition + ".replacing"))
                throw FaultyFiles.DiskFull();
        };
        await Assert.ThrowsAnyAsync<IOException>(() => parts.Controller.ReplaceLogAsync("t", firstOffset: 100, carryFrom: 2));
        _files.BeforeWrite = null;
        Assert.Equal(before, parts.Log("t").Manifest.Incarnation);
        await parts.Log("t").AppendAsync(Batches.Of("d"), AckLevel.Durable);
        Assert.Equal(["a1", "a2", "b", "c", "d"], Batches.ReadValues(parts.Log("t")));
        Assert.Equal([Partition], Directory.GetDirectories(Path.GetDirectoryName(Partition)!));
    }

    private static void AssertReplaced(NodeParts parts, Guid before)
    {
        PartitionLog log = parts.Log("t");
        Assert.Equal(["b", "c"], Batches.ReadValues(log, from: 100));
        Assert.Equal(new LogOffsets(100, 100, 102, 102), log.Offsets);
        Assert.Equal(100, log.Manifest.FirstOffset);
        Assert.NotEqual(before, log.Manifest.Incarnation);
    }

    private async Task<NodeParts> StartAsync()
    {
        NodeParts parts = await OpenAsync();
        await parts.Controller.CreateTopicAsync("t", 1, new TopicSettings(Mirror: true));
        foreach (string[] batch in (string[][])[["a1", "a2"], ["b"], ["c"]])
            await parts.Log("t").AppendAsync(Batches.Of(batch), AckLevel.Durable);

        return parts;
    }

    private Task<NodeParts> OpenAsync() => NodeParts.StartAsync(_temp.Sub("data"), files: _files);

    private void CopyTo(string target)
    {
        Directory.CreateDirectory(target);
        foreach (string file in Directory.GetFiles(Partition))
            File.Copy(file, Path.Combine(target, Path.GetFileName(file)));
    }
}
