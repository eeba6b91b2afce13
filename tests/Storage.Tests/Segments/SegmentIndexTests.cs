using EdgeStream.Storage.Log;
using EdgeStream.Storage.Tests.Log;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Segments;

/// <summary>The index files are hints: whatever is in them, every lookup gives the same.</summary>
public class SegmentIndexTests(ITestOutputHelper output) : LogTestBase
{
    public static TheoryData<string> Damages => ["missing", "empty", "truncated", "zeros", "garbage", "flipped bits", "another segment's"];

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task Lookups_do_not_depend_on_the_index_files(string damage)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        var random = new Random(seed);
        PartitionLog log = Open();
        for (int i = 0; i < 60; i++)
            await log.AppendAsync(Batches.Stamped(10 * i, (10 * i) - 25), AckLevel.Durable);

        await log.DisposeAsync();
        foreach (string extension in (string[])["*.index", "*.timeindex"])
        {
            string[] paths = [.. Directory.GetFiles(LogDirectory, extension).Order()];
            Assert.True(paths.Length > 3);
            byte[][] contents = [.. paths.Select(File.ReadAllBytes)];
            for (int i = 0; i < paths.Length; i++)
                Damage(paths[i], contents[i], contents[(i + 1) % contents.Length], damage, random);
        }

        log = Open();
        for (int offset = 0; offset < 120; offset++)
            Assert.Equal(120 - offset, Batches.ReadValues(log, offset).Count);

        for (int i = 0; i < 60; i++)
            Assert.Equal(2 * i, log.FindOffsetByTime((10 * i) - 5));
    }

    [Fact]
    public async Task Full_disk_costs_the_index_and_not_the_log()
    {
        PartitionLog log = Open();
        Files.BeforeWrite = name =>
        {
            if (!name.EndsWith(".log", StringComparison.Ordinal))
                throw FaultyFiles.DiskFull();
        };
        List<string> values = await FillAsync(log, 20);
        Assert.Null(log.Failure);
        Assert.Equal(values, Batches.ReadValues(log));
        await log.DisposeAsync();
        Assert.Equal(values, Batches.ReadValues(Open(files: new FaultyFiles())));
    }

    private static void Damage(string path, byte[] contents, byte[] other, string damage, Random random)
    {
        switch (damage)
        {
            case "missing":
                File.Delete(path);
                return;
            case "empty":
                contents = [];
                break;
            case "truncated":
                contents = contents[..random.Next(contents.Length)];
                break;
            case "zeros":
                Array.Clear(contents);
                break;
            case "garbage":
                contents = new byte[random.Next(200)];
                random.NextBytes(contents);
                break;
            case "flipped bits":
                contents = [.. contents];
                contents[random.Next(contents.Length)] ^= (byte)(1 << random.Next(8));
                break;
            default:
                contents = other;
                break;
        }

        File.WriteAllBytes(path, contents);
    }
}
