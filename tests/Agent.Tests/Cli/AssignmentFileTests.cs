using EdgeStream.Agent.Cli;
using EdgeStream.Harness;

namespace EdgeStream.Agent.Tests.Cli;

public sealed class AssignmentFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Spus_come_in_the_order_of_the_partitions() => Assert.Equal([3, 1, 3], Read("""{"partitions":[{"spu":3},{"spu":1},{"spu":3}]}"""));

    [Theory]
    [InlineData("", "is no JSON")]
    [InlineData("[1]", "names no partitions")]
    [InlineData("""{"partitions":[]}""", "names no partitions")]
    [InlineData("""{"partitions":[{"spu":1},{"spu":"2"}]}""", "partition 1 is {\"spu\":\"2\"}")]
    [InlineData("""{"partitions":[{"spu":-1}]}""", "partition 0 is {\"spu\":-1}")]
    [InlineData("""{"partitions":[{"spu":1,"replicas":[2]}]}""", "partition 0 is")]
    [InlineData("""{"partitions":[7]}""", "partition 0 is 7")]
    public void What_is_wrong_is_told_with_the_file_and_the_entry(string content, string expected)
    {
        var refused = Assert.Throws<CommandException>(() => Read(content));
        Assert.Contains(expected, refused.Message, StringComparison.Ordinal);
        Assert.Contains(_directory.At("assign.json"), refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void File_that_is_not_there_is_named() =>
        Assert.Contains("none.json' cannot be read", Assert.Throws<CommandException>(() => AssignmentFile.Read(_directory.At("none.json"))).Message, StringComparison.Ordinal);

    private IReadOnlyList<int> Read(string content)
    {
        File.WriteAllText(_directory.At("assign.json"), content);
        return AssignmentFile.Read(_directory.At("assign.json"));
    }
}
