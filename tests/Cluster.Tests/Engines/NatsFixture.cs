using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;

[assembly: AssemblyFixture(typeof(NatsFixture))]

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>One nats-server alone and three as a cluster, for the tests that do them no harm. Started when the first asks.</summary>
public sealed class NatsFixture : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Lazy<Task<NatsServer>> _single;
    private readonly Lazy<Task<NatsCluster>> _cluster;

    public NatsFixture()
    {
        _single = new Lazy<Task<NatsServer>>(async () =>
        {
            var server = new NatsServer(_directory.Path, "single");
            await server.StartAsync();
            return server;
        });
        _cluster = new Lazy<Task<NatsCluster>>(async () =>
        {
            var cluster = new NatsCluster(_directory.Path);
            await cluster.StartAsync();
            return cluster;
        });
    }

    public Task<NatsServer> SingleAsync() => _single.Value;

    public Task<NatsCluster> ClusterAsync() => _cluster.Value;

    public void Dispose()
    {
        if (_single is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            _single.Value.Result.Dispose();

        if (_cluster is { IsValueCreated: true, Value.IsCompletedSuccessfully: true })
            _cluster.Value.Result.Dispose();

        _directory.Dispose();
    }
}
