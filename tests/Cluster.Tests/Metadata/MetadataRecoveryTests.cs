using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Metadata;

public sealed class MetadataRecoveryTests(ITestOutputHelper output) : IDisposable
{
    private readonly TempDirectory _temp = new();

    private string DatabasePath => _temp.Sub("metadata.db");

    public void Dispose() => _temp.Dispose();

    [Theory]
    [InlineData("missing")]
    [InlineData("empty")]
    [InlineData("text")]
    [InlineData("zeros")]
    [InlineData("truncated")]
    [InlineData("random")]
    public async Task Topics_are_rebuilt_from_their_directories(string damage)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Dictionary<string, TopicInfo> before = await FillAsync();
        byte[] bytes = await File.ReadAllBytesAsync(DatabasePath);
        switch (damage)
        {
            case "missing":
                File.Delete(DatabasePath);
                break;
            case "empty":
                await File.WriteAllBytesAsync(DatabasePath, []);
                break;
            case "text":
                await File.WriteAllTextAsync(DatabasePath, "this was a database once");
                break;
            case "zeros":
                await File.WriteAllBytesAsync(DatabasePath, new byte[bytes.Length]);
                break;
            case "truncated":
                await File.WriteAllBytesAsync(DatabasePath, bytes[..(bytes.Length / 2)]);
                break;
            default:
                new Random(seed).NextBytes(bytes);
                await File.WriteAllBytesAsync(DatabasePath, bytes);
                break;
        }

        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        Assert.Equal(before.Keys, parts.Controller.Current.Topics.Keys);
        foreach ((string name, TopicInfo topic) in parts.Controller.Current.Topics)
        {
            Assert.Equal(before[name].Settings, topic.Settings);
            Assert.Equal(before[name].Partitions, topic.Partitions);
        }

        Assert.Equal(["kept"], Batches.ReadValues(parts.Log("plain", 1)));
        Assert.Contains("north", parts.Controller.Current.GeoLocations.Keys);
        bool hasBroken = damage is not ("missing" or "empty");
        Assert.Equal(hasBroken, parts.MetadataProblem is not null);
        Assert.Equal(hasBroken, Directory.GetFiles(_temp.Path, "metadata.db.broken-*").Length > 0);
        Assert.Empty(Directory.GetDirectories(_temp.Sub("topics"), ".*"));
    }

    [Fact]
    public async Task Copy_of_a_partition_directory_adds_no_partition()
    {
        await FillAsync();
        File.Delete(DatabasePath);
        string copy = _temp.Sub("topics/copy/0");
        Directory.CreateDirectory(copy);
        File.Copy(_temp.Sub("topics/plain/0/partition.json"), Path.Combine(copy, "partition.json"));

        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        Assert.Equal([0, 1], parts.Controller.Current.Topics["plain"].Partitions.Select(partition => partition.Number));
        Assert.DoesNotContain("copy", parts.Controller.Current.Topics.Keys);
    }

    [Fact]
    public async Task Number_of_a_missing_mirror_partition_is_not_given_to_two_geo_locations()
    {
        await FillAsync();
        File.Delete(DatabasePath);
        Directory.Delete(_temp.Sub("topics/mirrored/0"), recursive: true);

        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        PartitionId added = await parts.Controller.EnsureMirrorPartitionAsync("mirrored", "west");
        Assert.Equal(2, added.Partition);
        Assert.Equal(2, parts.Controller.Current.Topics["mirrored"].Partitions.Select(partition => partition.Number).Distinct().Count());
    }

    private async Task<Dictionary<string, TopicInfo>> FillAsync()
    {
        await using NodeParts parts = await NodeParts.StartAsync(_temp.Path, isHub: true);
        await parts.Controller.CreateTopicAsync("plain", 2, new TopicSettings(Compression: CompressionCodec.Zstd));
        await parts.Controller.EnsureMirrorPartitionAsync("mirrored", "north");
        await parts.Controller.EnsureMirrorPartitionAsync("mirrored", "south");
        await parts.Log("plain", 1).AppendAsync(Batches.Of("kept"), AckLevel.Durable);
        return new Dictionary<string, TopicInfo>(parts.Controller.Current.Topics);
    }
}
