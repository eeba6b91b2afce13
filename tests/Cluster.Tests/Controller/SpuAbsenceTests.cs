using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Cluster.Topology;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Controller;

/// <summary>When an SPU counts as dead.</summary>
public sealed class SpuAbsenceTests : IAsyncLifetime
{
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(100);

    private readonly TempDirectory _temp = new();
    private readonly ManualTime _time = new();
    private readonly Cluster.Engines.IPartitionEngine _engine;
    private readonly LiteDbMetadataStore _store;
    private readonly SpuRegistry _registry;
    private readonly RegisteredSpu _spu;

    public SpuAbsenceTests()
    {
        _engine = EngineUnderTest.Segments(_temp.Path);
        _store = new LiteDbMetadataStore(_temp.Sub("metadata.db"));
        _registry = new SpuRegistry(_engine, _store, [], _time);
        _spu = Register("first");
    }

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        _store.Dispose();
        _temp.Dispose();
    }

    [Fact]
    public void Silent_spu_with_its_connection_counts_as_there_for_three_reports()
    {
        _time.Advance(SpuRegistry.SilenceTolerated - Moment);
        Assert.Single(_registry.Alive);
        _time.Advance(Moment);
        Assert.Empty(_registry.Alive);
    }

    [Fact]
    public void Spu_that_has_lost_its_connection_counts_as_there_for_less()
    {
        _registry.Leave(_spu, hasSaidSo: false);
        _time.Advance(SpuRegistry.AbsenceTolerated - Moment);
        Assert.Single(_registry.Alive);
        _time.Advance(Moment);
        Assert.Empty(_registry.Alive);
    }

    [Fact]
    public void Spu_that_comes_back_in_time_was_never_away()
    {
        for (TimeSpan passed = TimeSpan.Zero; passed < SpuRegistry.SettledAfter; passed += SpuRegistry.ReportInterval)
        {
            _time.Advance(SpuRegistry.ReportInterval);
            _registry.Report(_spu, 0, "");
        }

        _registry.Leave(_spu, hasSaidSo: false);
        _time.Advance(SpuRegistry.AbsenceTolerated - Moment);
        Register("first");
        _time.Advance(SpuRegistry.AbsenceTolerated);
        Assert.Single(_registry.Alive);
        Assert.True(_registry.IsSettled);
    }

    [Fact]
    public void Spu_that_has_said_that_it_stops_is_away_at_once()
    {
        _registry.Leave(_spu, hasSaidSo: true);
        Assert.Empty(_registry.Alive);
    }

    private RegisteredSpu Register(string instance) => _registry.Register(new SpuInfo(1, ["https://spu1:9443"]), instance, "1.0");
}
