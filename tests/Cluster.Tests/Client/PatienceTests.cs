using System.Diagnostics;
using EdgeStream.Client;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Client;

/// <summary>Calls that begin while no SC is active: what is waited for, and what is told at once.</summary>
public sealed class PatienceTests(NatsFixture nats) : IAsyncLifetime
{
    // Longer than any of these takes, but for those that have to fail at once.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly string _nobody = $"https://127.0.0.1:{FreePort.Take()}";
    private InProcessCluster _cluster = null!;

    public async ValueTask InitializeAsync()
    {
        _cluster = await InProcessCluster.StartAsync(nats);
        await _cluster.CreateTopicAsync("t", 1, 2);
    }

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    [Fact]
    public async Task Call_waits_for_another_sc_to_take_over()
    {
        _cluster.HasActive = false;
        using EdgeStreamClient client = _cluster.Connect(Patience);
        Task<Protocol.V1.Topology> asked = client.GetTopologyAsync(), called = client.CallAsync(node => node.ControlPlane.GetTopologyAsync(new GetTopologyRequest()));
        Task<PartitionedProducer> producing = client.ProduceByKeyAsync("t");
        await Eventually.HoldsAsync(() => _cluster.Refused > 10 || asked.IsCompleted || called.IsCompleted || producing.IsCompleted, "each has asked again");
        Assert.False(asked.IsCompleted || called.IsCompleted || producing.IsCompleted);

        _cluster.HasActive = true;
        Assert.Single((await asked.InTimeAsync()).Topics);
        Assert.Single((await called.InTimeAsync()).Topics);
        await using PartitionedProducer producer = await producing.InTimeAsync();
    }

    [Fact]
    public async Task Sc_that_names_a_dead_one_is_asked_again_and_one_that_names_another_is_not()
    {
        _cluster.HasActive = false;
        _cluster.StandsBy = "this SC stands by; the active one is sc1 at https://sc1:9443";
        using (EdgeStreamClient alone = _cluster.Connect(Patience, _cluster.Active))
            Assert.Contains("the active one is sc1", (await FailsAtOnceAsync(alone)).Message, StringComparison.Ordinal);

        using EdgeStreamClient client = _cluster.Connect(Patience, _nobody, _cluster.Active);
        int before = _cluster.Refused;
        Task<Protocol.V1.Topology> asked = client.GetTopologyAsync();
        await Eventually.HoldsAsync(() => _cluster.Refused > before + 2 || asked.IsCompleted, "it has asked again");
        _cluster.HasActive = true;
        Assert.Single((await asked.InTimeAsync()).Topics);
    }

    [Fact]
    public async Task What_does_not_pass_is_told_at_once()
    {
        using (EdgeStreamClient nobody = _cluster.Connect(Patience, _nobody, $"https://127.0.0.1:{FreePort.Take()}"))
            Assert.Equal(ErrorCode.Unavailable, (await FailsAtOnceAsync(nobody)).Code);

        using (var none = new EdgeStreamClient(new ClientOptions { Endpoint = "unix:/no/such.sock", Patience = Patience }))
            Assert.Contains("there is no such socket", (await FailsAtOnceAsync(none)).Message, StringComparison.Ordinal);

        // Nobody serves that here.
        using EdgeStreamClient client = _cluster.Connect(Patience);
        long start = Stopwatch.GetTimestamp();
        ClientException refused = await Assert.ThrowsAsync<ClientException>(() => client.CallAsync(node => node.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = "t" })));
        Assert.Equal(ErrorCode.WrongRole, refused.Code);
        Assert.True(Stopwatch.GetElapsedTime(start) < Patience / 2);
    }

    [Fact]
    public async Task Patience_ends_with_the_error_that_there_was()
    {
        _cluster.HasActive = false;
        using EdgeStreamClient hasty = _cluster.Connect(), patient = _cluster.Connect(TimeSpan.FromSeconds(1));
        ClientException atOnce = await FailsAtOnceAsync(hasty);
        Assert.InRange(_cluster.Refused, 1, 2);
        ClientException later = await Assert.ThrowsAsync<ClientException>(() => patient.GetTopologyAsync()).InTimeAsync();

        Assert.True(_cluster.Refused >= 6, $"asked {_cluster.Refused} times");
        Assert.Equal(atOnce.Message, later.Message);
        Assert.Contains("this SC stands by; ask the active one", later.Message, StringComparison.Ordinal);
    }

    private static async Task<ClientException> FailsAtOnceAsync(EdgeStreamClient client)
    {
        long start = Stopwatch.GetTimestamp();
        ClientException error = await Assert.ThrowsAsync<ClientException>(() => client.GetTopologyAsync());
        Assert.True(Stopwatch.GetElapsedTime(start) < Patience / 2, "it has waited");
        return error;
    }
}
