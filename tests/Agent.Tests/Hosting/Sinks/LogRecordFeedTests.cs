using System.Text;
using EdgeStream.Agent.Hosting.Sinks;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Devices;
using EdgeStream.Harness;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Agent.Tests.Hosting.Sinks;

/// <summary>What a sink is handed of a real log, and where it goes on.</summary>
public sealed class LogRecordFeedTests : IAsyncLifetime
{
    private const string Topic = "commands";
    private const long HubTime = 1_900_000_000_000;

    private readonly TemporaryDirectory _directory = new();
    private readonly HubClock _hubClock = new(TimeProvider.System);
    private LiteDbMetadataStore _store = null!;
    private LocalSpu _spu = null!;
    private StreamController _controller = null!;

    public async ValueTask InitializeAsync()
    {
        _store = new LiteDbMetadataStore(_directory.At("metadata.db"));
        _spu = new LocalSpu(1, new PartitionDirectories(_directory.Path), LogOptions.Default, NullLogger<LocalSpu>.Instance);
        _controller = new StreamController(_store, _spu, isHub: false);
        await _controller.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _controller.Dispose();
        await _spu.DisposeAsync();
        _store.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task New_sink_begins_behind_what_is_there_and_goes_on_where_it_left_off()
    {
        await _controller.CreateTopicAsync(Topic, 1, new TopicSettings());
        await AppendAsync("old", "older");
        await using (Run run = Start())
        {
            await AppendAsync("a");
            await run.HasActedOnAsync("a");
        }

        await AppendAsync("b");
        await using Run next = Start();
        await AppendAsync("c");
        await next.HasActedOnAsync("b", "c");
        Assert.Equal((2, 0), (next.Sink.Counters.Received, next.Sink.Counters.Dropped));
    }

    [Fact]
    public async Task Topic_that_is_made_later_is_followed_from_its_beginning_also_by_one_that_was_stopped_meanwhile()
    {
        await using (Run run = Start())
        {
            Assert.Empty(run.Sink.ActedOn);
        }

        await _controller.EnsureDownTopicAsync(Topic, null);
        await AppendAsync("first");
        await using Run next = Start();
        await next.HasActedOnAsync("first");
    }

    [Fact]
    public async Task Topic_made_anew_is_another_and_is_followed_from_its_beginning()
    {
        await _controller.EnsureDownTopicAsync(Topic, null);
        await using Run run = Start();
        await AppendAsync("a", "b");
        await run.HasActedOnAsync("a", "b");
        await _controller.DeleteTopicAsync(Topic);
        await _controller.EnsureDownTopicAsync(Topic, null);
        await AppendAsync("new");
        await run.HasActedOnAsync("a", "b", "new");
    }

    [Fact]
    public async Task What_has_expired_by_the_hubs_clock_is_passed_over()
    {
        await _controller.EnsureDownTopicAsync(Topic, TimeSpan.FromMinutes(1));
        _hubClock.Tell(HubTime, _hubClock.Monotonic);
        await using Run run = Start();
        await AppendAsync(Make("late", HubTime - 61_000), Make("in time", HubTime), Make("its own is over", HubTime - 5000, "4s"), Make("last", HubTime - 5000, "1h"));
        await run.HasActedOnAsync("in time", "last");
        Assert.Equal((4, 2), (run.Sink.Counters.Received, run.Sink.Counters.Dropped));
        Assert.Equal("offset 2 of commands had expired", run.Sink.Counters.LastDrop);
    }

    [Fact]
    public async Task What_can_expire_counts_as_expired_until_the_hub_was_heard_and_what_cannot_is_acted_on()
    {
        await _controller.EnsureDownTopicAsync(Topic, null);
        await using Run run = Start();
        long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await AppendAsync(Make("for an hour", now, "1h"), Make("for ever", now));
        await run.HasActedOnAsync("for ever");
        Assert.Equal("offset 0 of commands may have expired: the hub was not heard since the start", run.Sink.Counters.LastDrop);

        _hubClock.Tell(now, _hubClock.Monotonic);
        await AppendAsync(Make("for another hour", now, "1h"));
        await run.HasActedOnAsync("for ever", "for another hour");
    }

    [Fact]
    public async Task Record_that_the_sink_has_failed_at_comes_again_and_expires_meanwhile_where_it_can()
    {
        await _controller.EnsureDownTopicAsync(Topic, null);
        _hubClock.Tell(HubTime, _hubClock.Monotonic);
        await using Run run = Start();
        run.Sink.Failure = new IOException("the relay is stuck");
        await AppendAsync(Make("a", HubTime), Make("b", HubTime, "1m"), Make("c", HubTime));
        await run.HasEndedAsync("the relay is stuck");
        run.Again();
        await run.HasEndedAsync("the relay is stuck");
        Assert.Equal(["a", "a"], run.Sink.Tried);

        _hubClock.Tell(HubTime + 3_600_000, _hubClock.Monotonic);
        run.Sink.Failure = null;
        run.Again();
        await run.HasActedOnAsync("a", "c");
    }

    [Fact]
    public async Task All_partitions_are_followed_one_record_at_a_time()
    {
        await _controller.CreateTopicAsync(Topic, 4, new TopicSettings());
        await using Run run = Start();
        for (int i = 0; i < 40; i++)
            await _controller.GetPartition(Topic, i % 4).Log.AppendAsync(Build([Make($"{i}", 1000)]), AckLevel.Durable);

        await Condition.WaitAsync("all were acted on", () => run.Sink.ActedOn.Count == 40);
        Assert.Equal(Enumerable.Range(0, 40).Select(i => $"{i}").Order(), run.Sink.ActedOn.Order());
        Assert.Equal(1, run.Sink.MostAtOnce);
    }

    [Fact]
    public async Task Positions_that_cannot_be_read_are_set_aside_and_the_sink_begins_as_a_new_one()
    {
        await _controller.CreateTopicAsync(Topic, 1, new TopicSettings());
        await AppendAsync("old");
        await File.WriteAllTextAsync(_directory.At(SinkPositions.FileName), "[{\"sink\":\"relay\",\"topic\":\"commands\",\"positions\":null}]");
        await using Run run = Start();
        await AppendAsync("new");
        await run.HasActedOnAsync("new");
        Assert.True(File.Exists(_directory.At(SinkPositions.FileName + ".broken")));
    }

    private static Record Make(string value, long timestamp, string? timeToLive = null) => new(
        0, timestamp, null, Encoding.UTF8.GetBytes(value),
        timeToLive is null ? [] : [new RecordHeader(RecordExpiry.HeaderName, Encoding.UTF8.GetBytes(timeToLive))]);

    private static byte[] Build(IEnumerable<Record> records)
    {
        using var writer = new RecordBatchWriter();
        foreach (Record record in records)
            writer.Append(record);

        return writer.Build().ToArray();
    }

    private Task AppendAsync(params string[] values) => AppendAsync([.. values.Select(value => Make(value, 1000))]);

    private async Task AppendAsync(params Record[] records) =>
        await _controller.GetPartition(Topic, 0).Log.AppendAsync(Build(records), AckLevel.Durable);

    private Run Start() => new(_directory.Path, _controller, _hubClock);

    /// <summary>One sink from the start of a node to its end.</summary>
    private sealed class Run : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly SinkPositions _positions;
        private readonly LogRecordFeed _feed;
        private Task _running;

        public Run(string directory, StreamController controller, HubClock hubClock)
        {
            _positions = SinkPositions.Open(DiskFiles.Instance, directory, TimeProvider.System, NullLogger<SinkPositions>.Instance);
            _feed = new LogRecordFeed(controller, hubClock, _positions, NullLogger<LogRecordFeed>.Instance);
            Sink = new RecordingRelay(_feed);
            _feed.Begin([Sink]);
            _running = Task.Run(() => Sink.RunAsync(() => { }, _stop.Token));
        }

        public RecordingRelay Sink { get; }

        public void Again() => _running = Task.Run(() => Sink.RunAsync(() => { }, _stop.Token));

        public Task HasActedOnAsync(params string[] values) => Condition.WaitAsync(
            () => $"it has acted on {string.Join(", ", values)} (it has on {string.Join(", ", Sink.ActedOn)})",
            () => Task.FromResult(Sink.ActedOn.SequenceEqual(values)));

        public async Task HasEndedAsync(string message) =>
            Assert.Equal(message, (await Assert.ThrowsAsync<IOException>(() => _running.WaitAsync(TimeSpan.FromSeconds(30)))).Message);

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _positions.DisposeAsync();
            _stop.Dispose();
        }
    }

    /// <summary>Notes what it is told, and fails when it is told to.</summary>
    private sealed class RecordingRelay(IRecordFeed feed) : ISink
    {
        private readonly Lock _lock = new();
        private readonly List<string> _tried = [];
        private readonly List<string> _actedOn = [];
        private int _atOnce;

        public Exception? Failure { get; set; }

        public int MostAtOnce { get; private set; }

        public string Name => "relay";

        public string Topic => LogRecordFeedTests.Topic;

        public SourceCounters Counters { get; } = new();

        public IReadOnlyList<string> Tried
        {
            get
            {
                lock (_lock)
                    return [.. _tried];
            }
        }

        public IReadOnlyList<string> ActedOn
        {
            get
            {
                lock (_lock)
                    return [.. _actedOn];
            }
        }

        public Task RunAsync(Action running, CancellationToken cancellationToken) => feed.FollowAsync(this, ActAsync, cancellationToken);

        private async ValueTask ActAsync(SinkRecord record, CancellationToken cancellationToken)
        {
            MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref _atOnce));
            string value = Encoding.UTF8.GetString(record.Value.Span);
            lock (_lock)
                _tried.Add(value);

            await Task.Yield();
            Interlocked.Decrement(ref _atOnce);
            if (Failure is { } failure)
                throw failure;

            lock (_lock)
                _actedOn.Add(value);
        }
    }
}
