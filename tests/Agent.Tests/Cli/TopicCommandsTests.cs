using EdgeStream.Agent.Cli;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests.Cli;

public sealed class TopicCommandsTests
{
    [Fact]
    public void Change_that_is_not_done_yet_is_not_told_as_one_that_is()
    {
        var topic = new Topic { Name = "orders", Settings = new TopicSettings { Replicas = 3 }, Partitions = { new Partition(), new Partition() } };
        Assert.Equal("topic 'orders' changed", TopicCommands.DescribeChange(topic));
        topic.PartitionsPending = 1;
        Assert.Equal(
            "topic 'orders' changed; 1 partition of 2 not at 3 NATS servers yet: 'edgestream partition list --topic orders' shows how it goes on, and what is in its way",
            TopicCommands.DescribeChange(topic));
    }
}
