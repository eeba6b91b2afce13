using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using EdgeStream.Cluster.Engines.JetStream;
using EdgeStream.Cluster.Topology;
using EdgeStream.Harness;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using NATS.Client.JetStream;

namespace EdgeStream.Cluster.Tests.Engines;

/// <summary>Three real servers, three replicas, and one of the three goes while records come in.</summary>
public sealed class JetStreamFaultTests(ITestOutputHelper output) : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private NatsCluster _cluster = null!;
    private EngineUnderTest _engine = null!;

    public async ValueTask InitializeAsync()
    {
        _cluster = new NatsCluster(_directory.Path);
        await _cluster.StartAsync();
        _engine = new EngineUnderTest(
            _directory.At("data"), Guid.NewGuid().ToString("N"), new TopicSettings { Replicas = 3 }, directory => EngineUnderTest.JetStream(directory, _cluster.Urls, logger: new OutputLogger(output)));
        await _engine.OpenAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _engine.DisposeAsync();
        _cluster.Dispose();
        _directory.Dispose();
    }

    /// <summary>So that a run that fails says what the log has been told.</summary>
    private sealed class OutputLogger(ITestOutputHelper output) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            output.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {formatter(state, exception)}");
    }

    // The servers choose a stream's leader anew in up to half a minute (docs/FAULTS.md), on a busy machine in more.
    private static readonly TimeSpan WithoutLeader = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Server_that_goes_while_records_come_in_costs_none_and_makes_none_twice(bool freezes)
    {
        const int Producers = 4;
        using var stop = new CancellationTokenSource();
        var acknowledged = new ConcurrentDictionary<string, long>();
        long longest = 0;
        Task[] producers = [.. Enumerable.Range(0, Producers).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; !stop.IsCancellationRequested; i++)
            {
                long began = Stopwatch.GetTimestamp();
                AppendedRange range = await _engine.Log.AppendAsync(Batches.Of($"{producer} {i}"), AckLevel.Durable);
                acknowledged[$"{producer} {i}"] = range.BaseOffset;
                long took = (long)Stopwatch.GetElapsedTime(began).TotalMilliseconds;
                for (long known = Volatile.Read(ref longest); took > known; known = Volatile.Read(ref longest))
                    Interlocked.CompareExchange(ref longest, took, known);
            }
        }))];

        // Each in turn, so that the leader of the stream, and whom the log is connected to, are among them. That one is frozen is noticed
        // later: there it is the leader only.
        foreach (NatsServer server in freezes ? [await LeaderAsync()] : _cluster.Servers)
        {
            // One at a time: with one that has come back and is behind yet, there would be no majority for what the other two have.
            await _cluster.WaitUntilHealthyAsync();
            await GoesOnAsync();
            output.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {server.Url} goes");
            if (freezes)
                server.Freeze();
            else
                server.Kill();

            await GoesOnAsync();
            if (freezes)
                server.Thaw();
            else
                await server.StartAsync();

            await GoesOnAsync();
        }

        await stop.CancelAsync();
        await Task.WhenAll(producers).InTimeAsync();
        output.WriteLine($"{acknowledged.Count} records, the longest wait {longest} ms");
        List<string> values = await Batches.ReadValuesAsync(_engine.Log);
        Assert.Equal(values.Count, values.Distinct().Count());
        Assert.Equal(acknowledged.Count, values.Count);
        Assert.All(acknowledged, one => Assert.Equal(one.Key, values[(int)one.Value]));

        async Task<NatsServer> LeaderAsync()
        {
            await using var connection = new NatsConnection(new NatsOpts { Url = _cluster.Urls[0] });
            string stream = StreamNames.Of(_engine.Topology.ClusterId, _engine.Id).Stream;
            string leader = (await new NatsJSContext(connection).GetStreamAsync(stream)).Info.Cluster!.Leader!;
            return _cluster.Servers[int.Parse(leader[1..], CultureInfo.InvariantCulture) - 1];
        }

        async Task GoesOnAsync()
        {
            int before = acknowledged.Count;
            await Condition.WaitAsync(
                () => $"records go on to be stored: {_engine.Log.Problem}",
                () => Task.FromResult(acknowledged.Count > before + (20 * Producers) || producers.Any(producer => producer.IsFaulted)),
                WithoutLeader);
            Assert.DoesNotContain(producers, producer => producer.IsFaulted);
        }
    }
}
