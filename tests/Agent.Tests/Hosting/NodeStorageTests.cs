using System.Collections.Immutable;
using EdgeStream.Agent.Hosting;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Agent.Tests.Hosting;

public sealed class NodeStorageTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Error_that_nobody_expects_does_not_end_the_opening_of_closed_partitions()
    {
        string data = _temp.Sub("data");
        Directory.CreateDirectory(data);
        var topic = new TopicInfo("t", new TopicSettings(), [new PartitionInfo(0, 1)]);
        var view = new FailingView(new TopologyMap(
            Guid.NewGuid().ToString("N"), [], ImmutableSortedDictionary<string, GeoLocationInfo>.Empty,
            ImmutableSortedDictionary<string, TopicInfo>.Empty.Add("t", topic)));
        var nobody = new JetStreamOptions([$"nats://127.0.0.1:{FreePort.Take()}"]) { AnswerTimeout = TimeSpan.FromMilliseconds(100) };
        await using var spu = new LocalSpu(1, new JetStreamEngine(data, nobody, NullLogger.Instance), NullLogger<LocalSpu>.Instance, isHub: true);
        await spu.StartAsync(view.Topology);
        Assert.True(spu.HasClosed);

        await using NodeStorage storage = NodeStorage.Open(data, budget: null);
        storage.Start(spu, view, () => Task.CompletedTask);
        await Eventually.HoldsAsync(() => storage.Problem?.Contains("the first one fails", StringComparison.Ordinal) == true, "it says so");
        await Eventually.HoldsAsync(() => storage.Problem is null, "it has gone on");
        Assert.True(view.Asked > 1);
    }

    private sealed class FailingView(TopologyMap topology) : IClusterView
    {
        private int _asked;

        public event Func<string, Task>? TopicDeleted
        {
            add { }
            remove { }
        }

        public int Asked => Volatile.Read(ref _asked);

        public TopologyMap Topology => topology;

        public TopologyMap Current => Interlocked.Increment(ref _asked) == 1 ? throw new InvalidOperationException("the first one fails") : topology;

        public bool IsHub => true;

        public Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken) => throw new NotSupportedException();

        public SpuStatus StatusOf(int spu) => throw new NotSupportedException();

        public Partition GetPartition(string topicName, int number) => throw new NotSupportedException();
    }
}
