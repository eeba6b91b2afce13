using EdgeStream.Agent.Cli;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests.Cli;

public sealed class PartitionTableTests
{
    [Fact]
    public void Replicas_are_short_enough_for_a_column()
    {
        ReplicaStatus[] replicas =
        [
            new() { Server = "n1", Leader = true, Current = true }, new() { Server = "n2", Current = true },
            new() { Server = "n3", Current = true, Lag = 12 }, new() { Server = "n4" },
        ];
        Assert.Equal("n1* n2 n3(-12) n4(away)", PartitionTable.ToText(replicas));
        Assert.Null(PartitionTable.ToText([]));
    }
}
