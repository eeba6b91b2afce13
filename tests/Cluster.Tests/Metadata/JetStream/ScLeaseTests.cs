using System.Diagnostics;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Tests.Engines;
using EdgeStream.Harness;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

public sealed class ScLeaseTests(NatsFixture nats) : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _name = MetadataServers.NewName();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task One_of_many_is_active_and_the_next_takes_over_at_once_when_it_stops(int replicas)
    {
        JetStreamOptions options = await nats.OptionsAsync(replicas);
        ScLease[] leases = [.. Enumerable.Range(0, 4).Select(i => Lease(options, $"sc-{i}"))];
        int active = 0;
        await Task.WhenAll(leases.Select(async lease =>
        {
            await using ScTerm term = await lease.WaitAsync(default);
            Assert.True(term.IsHeld);
            Assert.Equal(1, Interlocked.Increment(ref active));
            Assert.Equal($"https://{lease.Active!.Name}:9443", Assert.Single(lease.Active.Endpoints));

            // Long enough for the others to see who it is.
            ScLease[] others = [.. leases.Where(other => other != lease)];
            await Eventually.HoldsAsync(
                () => term.Lost.IsCancellationRequested || others.All(other => other.Active?.Name is not null), "the others know who is active");
            Assert.True(term.IsHeld);
            Interlocked.Decrement(ref active);
        })).InTimeAsync();
        foreach (ScLease lease in leases)
            await lease.DisposeAsync();
    }

    [Fact]
    public async Task Lease_given_back_is_taken_before_it_would_be_over()
    {
        JetStreamOptions options = await nats.OptionsAsync(1);
        await using ScLease first = Lease(options, "sc-1"), second = Lease(options, "sc-2");
        ScTerm term = await first.WaitAsync(default).InTimeAsync();
        Task<ScTerm> waiting = second.WaitAsync(default);
        await Eventually.HoldsAsync(() => second.Active == new ActiveSc("sc-1", second.Active?.Endpoints ?? []), "the second knows the first");

        long began = Stopwatch.GetTimestamp();
        await term.DisposeAsync();
        Assert.True(term.Lost.IsCancellationRequested);
        Assert.False(term.IsHeld);
        await using ScTerm next = await waiting.InTimeAsync();

        // Were it not given back, the last renewal would hold for that long at least.
        Assert.InRange(Stopwatch.GetElapsedTime(began), TimeSpan.Zero, ScLease.Duration - ScLease.RenewInterval);
    }

    [Fact]
    public async Task Renewed_lease_outlasts_its_duration()
    {
        JetStreamOptions options = await nats.OptionsAsync(1);
        await using ScLease first = Lease(options, "sc-1"), second = Lease(options, "sc-2");
        await using ScTerm term = await first.WaitAsync(default).InTimeAsync();
        using var limit = new CancellationTokenSource(ScLease.Duration * 2);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(limit.Token));
        Assert.True(term.IsHeld);
        Assert.Equal("sc-1", second.Active!.Name);
    }

    [Fact]
    public async Task Lease_of_one_that_went_without_a_word_is_taken_after_its_time()
    {
        using var link = new FaultyLink((await nats.SingleAsync()).Port);
        ScLease first = Lease(MetadataServers.At(link), "sc-1");
        await using ScLease second = Lease(await nats.OptionsAsync(1), "sc-2");
        ScTerm term = await first.WaitAsync(default).InTimeAsync();
        Task<ScTerm> waiting = second.WaitAsync(default);
        await Eventually.HoldsAsync(() => second.Active?.Name == "sc-1", "the second knows the first");

        long began = Stopwatch.GetTimestamp();
        link.Fault = LinkFault.Cut;
        await term.DisposeAsync();
        await first.DisposeAsync();
        await using ScTerm next = await waiting.InTimeAsync();
        Assert.True(next.IsHeld);

        // The last renewal may have been seen that much earlier.
        Assert.InRange(Stopwatch.GetElapsedTime(began), ScLease.Duration - (ScLease.RenewInterval * 1.5), TimeSpan.MaxValue);
    }

    [Theory]
    [InlineData(LinkFault.Frozen)]
    [InlineData(LinkFault.NoAnswers)]
    [InlineData(LinkFault.Cut)]
    public async Task Holder_whose_link_is_ill_has_stopped_when_the_next_begins(LinkFault fault)
    {
        using var link = new FaultyLink((await nats.SingleAsync()).Port);
        await using ScLease first = Lease(MetadataServers.At(link), "sc-1"), second = Lease(await nats.OptionsAsync(1), "sc-2");
        ScTerm term = await first.WaitAsync(default).InTimeAsync();
        Task<ScTerm> waiting = second.WaitAsync(default);

        link.Fault = fault;
        bool wasOver = false;
        term.Lost.Register(() => wasOver = !waiting.IsCompleted);
        ScTerm next = await waiting.InTimeAsync();
        Assert.False(term.IsHeld);
        Assert.True(wasOver);

        link.Fault = LinkFault.None;
        await term.DisposeAsync();
        Task<ScTerm> again = first.WaitAsync(default);
        await Eventually.HoldsAsync(() => first.Active?.Name == "sc-2", "the first knows the second");
        Assert.True(next.IsHeld);
        Assert.False(again.IsCompleted);

        await next.DisposeAsync();
        await (await again.InTimeAsync()).DisposeAsync();
    }

    [Fact]
    public async Task Servers_that_are_down_are_waited_for()
    {
        using var server = new NatsServer(_directory.Path);
        await using ScLease lease = Lease(MetadataServers.At(server.Url), "sc-1");
        Task<ScTerm> waiting = lease.WaitAsync(default);
        await server.StartAsync();
        ScTerm term = await waiting.InTimeAsync();

        server.Kill();
        await Eventually.HoldsAsync(() => term.Lost.IsCancellationRequested, "the lease is lost");
        Assert.False(term.IsHeld);
        await term.DisposeAsync();
        Task<ScTerm> again = lease.WaitAsync(default);
        await server.StartAsync();
        await (await again.InTimeAsync()).DisposeAsync();
    }

    [Fact]
    public async Task Holder_goes_on_while_the_servers_have_no_room_for_a_renewal()
    {
        using var server = new NatsServer(
            _directory.Path, "small", jetStream: false, settings: $"jetstream {{ store_dir: \"{_directory.At("store")}\", max_mem: 64MB, max_file: 2MB }}");
        await server.StartAsync();
        await using ScLease first = Lease(MetadataServers.At(server.Url), "sc-1"), second = Lease(MetadataServers.At(server.Url), "sc-2");
        await using ScTerm term = await first.WaitAsync(default).InTimeAsync();
        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var jetStream = new NatsJSContext(connection);
        await FillAsync(jetStream);
        await Eventually.HoldsAsync(() => first.Problem is not null, "the holder says what is wrong");
        Assert.Contains("has no room for 'active'", first.Problem, StringComparison.Ordinal);
        using var limit = new CancellationTokenSource(ScLease.Duration * 2);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => second.WaitAsync(limit.Token));
        Assert.Equal("sc-1", second.Active!.Name);
        Assert.True(term.IsHeld);

        await jetStream.DeleteStreamAsync("filler");
        await Eventually.HoldsAsync(() => first.Problem is null, "it is renewed again");
        Assert.True(term.IsHeld);
    }

    [Fact]
    public async Task Nobody_takes_the_lease_without_room_and_who_waits_says_why()
    {
        using var server = new NatsServer(
            _directory.Path, "small", jetStream: false, settings: $"jetstream {{ store_dir: \"{_directory.At("store")}\", max_mem: 64MB, max_file: 2MB }}");
        await server.StartAsync();
        await using ScLease lease = Lease(MetadataServers.At(server.Url), "sc-1");
        await (await lease.WaitAsync(default).InTimeAsync()).DisposeAsync();
        await using var connection = new NatsConnection(new NatsOpts { Url = server.Url });
        var jetStream = new NatsJSContext(connection);
        await FillAsync(jetStream);

        Task<ScTerm> waiting = lease.WaitAsync(default);
        await Eventually.HoldsAsync(() => lease.Problem is not null, "it says what is wrong");
        Assert.Contains("this SC cannot become the active one: NATS at", lease.Problem, StringComparison.Ordinal);
        Assert.Contains("raise max_file_store there, or free some of it; while none is active, no topic can be deleted to make room", lease.Problem, StringComparison.Ordinal);

        await jetStream.DeleteStreamAsync("filler");
        await using ScTerm term = await waiting.InTimeAsync();
        Assert.Null(lease.Problem);
    }

    private static async Task FillAsync(NatsJSContext jetStream)
    {
        await jetStream.CreateStreamAsync(new StreamConfig("filler", ["filler"]));
        PubAckResponse answer;
        do
            answer = await jetStream.PublishAsync("filler", new byte[100_000]);
        while (answer.Error is null);
    }

    private ScLease Lease(JetStreamOptions options, string name) => new(options, _name, new ActiveSc(name, [$"https://{name}:9443"]), NullLogger.Instance);
}
