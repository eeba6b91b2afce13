using System.Text;
using EdgeStream.Client;

namespace EdgeStream.Cluster.Tests.Client;

public sealed class KeyPartitionerTests
{
    // What Kafka's own tests say that its producers compute.
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    [InlineData("", 275646681)]
    public void Hash_is_that_of_Kafka(string key, int expected) =>
        Assert.Equal(expected, unchecked((int)KeyPartitioner.Murmur2(Encoding.UTF8.GetBytes(key))));

    // The hash without its sign, modulo the partitions.
    [Theory]
    [InlineData("foobar", 50, 16)]
    [InlineData("abc", 6, 3)]
    [InlineData("abc", 1, 0)]
    public void Partition_is_that_of_Kafka(string key, int partitions, int expected) =>
        Assert.Equal(expected, KeyPartitioner.IndexOf(Encoding.UTF8.GetBytes(key), partitions));
}
