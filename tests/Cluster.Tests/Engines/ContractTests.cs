using EdgeStream.Cluster.Engines;
using EdgeStream.Harness;

namespace EdgeStream.Cluster.Tests.Engines;

public class SegmentContractTests : PartitionLogContract
{
    private protected override Task<Func<string, IPartitionEngine>> PrepareAsync() => Task.FromResult<Func<string, IPartitionEngine>>(EngineUnderTest.Segments);
}

public class JetStreamContractTests(NatsFixture nats) : PartitionLogContract
{
    private protected override async Task<Func<string, IPartitionEngine>> PrepareAsync()
    {
        NatsServer server = await nats.SingleAsync();
        return directory => EngineUnderTest.JetStream(directory, [server.Url]);
    }
}

public class ReplicatedJetStreamContractTests(NatsFixture nats) : PartitionLogContract
{
    private protected override int Replicas => 3;

    private protected override async Task<Func<string, IPartitionEngine>> PrepareAsync()
    {
        NatsCluster cluster = await nats.ClusterAsync();
        return directory => EngineUnderTest.JetStream(directory, cluster.Urls);
    }
}
