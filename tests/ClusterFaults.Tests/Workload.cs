using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Cluster;
using EdgeStream.Protocol.V1;

namespace EdgeStream.ClusterFaults.Tests;

/// <summary>
/// What goes on while a cluster is ill: for each partition of a topic a producer that waits and a consumer that follows, two producers that soon
/// give up, a group of two, and a producer at each edge. Keeps the history of it.
/// </summary>
internal sealed class Workload : IAsyncDisposable
{
    public const string Topic = "orders";
    public const int Partitions = 6;

    private const string Group = "audit";

    // Any fault is over before; a hang is none.
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(120);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan ShortPatience = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(200);

    private readonly ClusterProcesses _cluster;
    private readonly List<EdgeStreamClient> _clients = [];
    private readonly CancellationTokenSource _stopWriting = new();
    private readonly CancellationTokenSource _stopReading = new();
    private readonly ProgressClock[] _written = [.. Enumerable.Range(0, Partitions).Select(partition => new ProgressClock($"{Topic}/{partition}"))];
    private readonly ProgressClock[] _mirrored;
    private readonly List<Task> _writing = [];
    private readonly List<Task> _reading = [];

    private Workload(ClusterProcesses cluster)
    {
        _cluster = cluster;
        _mirrored = [.. cluster.Edges.Select(edge => new ProgressClock(edge.Name))];
    }

    public History History { get; } = new();

    public static async Task<Workload> StartAsync(ClusterProcesses cluster)
    {
        await cluster.CommandAsync("topic", "create", Topic, "--partitions", $"{Partitions}");
        var workload = new Workload(cluster);
        EdgeStreamClient producers = workload.Client(cluster.Connect("producer")), consumers = workload.Client(cluster.Connect("consumer"));
        for (int partition = 0; partition < Partitions; partition++)
        {
            Run(workload._writing, workload.WriteAsync(producers, partition));
            var live = new Reading($"the live consumer of {partition}");
            workload.History.Live.Add(live);
            Run(workload._reading, workload.FollowAsync(consumers, partition, live));
        }

        foreach (int partition in (int[])[0, Partitions / 2])
            Run(workload._writing, workload.WriteImpatientlyAsync(producers, partition));

        for (int member = 1; member <= 2; member++)
        {
            var reading = new Reading($"member {member} of the group");
            workload.History.Group.Add(reading);
            Run(workload._reading, workload.ReadInGroupAsync(workload.Client(cluster.Connect("consumer")), reading));
        }

        for (int edge = 0; edge < cluster.Edges.Count; edge++)
        {
            EdgeStreamClient client = workload.Client(cluster.Edges[edge].Connect());
            Run(workload._writing, workload.WriteAtEdgeAsync(client));
            Run(workload._reading, workload.WatchMirrorAsync(client, workload._mirrored[edge]));
        }

        return workload;
    }

    /// <summary>Waits until each partition and each edge has gone on by so many records, all sent from now on or with them.</summary>
    public async Task WaitForProgressAsync(int records = 10)
    {
        long[] before = [.. Clocks.Select(clock => clock.Count)];

        // The first acknowledgement may be of what was sent before.
        await Condition.WaitAsync(
            () => $"writing goes on: {string.Join(", ", Clocks.Zip(before, (clock, count) => $"{clock.Name} +{clock.Count - count}"))}",
            () =>
            {
                ThrowIfFailed();
                return Task.FromResult(Clocks.Zip(before, (clock, count) => clock.Count - count >= (clock.Name.Contains('/', StringComparison.Ordinal) ? records : 2)).All(good => good));
            },
            Deadline);
    }

    /// <summary>For how long writing, or mirroring, rested at most in any partition.</summary>
    public (TimeSpan Writing, TimeSpan Mirroring) LongestSilence(long from, long to) =>
        (_written.Max(clock => clock.LongestSilence(from, to)),
            _mirrored.Select(clock => clock.LongestSilence(from, to)).DefaultIfEmpty(TimeSpan.Zero).Max());

    /// <summary>Ends it, reads all again, and checks everything. The cluster has to be well.</summary>
    public async Task CheckAsync()
    {
        await _stopWriting.CancelAsync();
        await Task.WhenAll(_writing).WaitAsync(Deadline);
        EdgeStreamClient admin = Client(_cluster.Connect("admin"));
        foreach (string reader in (string[])["the first reader", "the second reader"])
        {
            var reading = new Reading(reader);
            History.Complete.Add(reading);
            for (int partition = 0; partition < Partitions; partition++)
                await ReadAllAsync(admin, partition, reading);
        }

        // What follows lags behind; it must get there.
        int stored = History.Complete[0].Count;
        await Condition.WaitAsync(
            () => $"the consumers that follow have all {stored} records: live {History.Live.Sum(reading => reading.Count)}, group {GivenToGroup()}",
            () =>
            {
                ThrowIfFailed();
                return Task.FromResult(History.Live.Sum(reading => reading.Count) >= stored && GivenToGroup() >= stored);
            },
            Deadline);
        await _stopReading.CancelAsync();
        await Task.WhenAll(_reading).WaitAsync(Deadline);
        Assert.Empty(HistoryChecker.Check(History));
        Assert.True(History.Sent.Any(sent => sent.Offset is not null), "nothing was acknowledged");
        await CheckPositionsAsync(admin);
        await CheckEdgesAsync(admin);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopWriting.CancelAsync();
        await _stopReading.CancelAsync();

        // A cluster that a failed test leaves behind keeps producers waiting: they end with their clients.
        foreach (EdgeStreamClient client in _clients)
            client.Dispose();
    }

    private IEnumerable<ProgressClock> Clocks => [.. _written, .. _mirrored];

    private EdgeStreamClient Client(EdgeStreamClient client)
    {
        _clients.Add(client);
        return client;
    }

    private static void Run(List<Task> tasks, Task task) => tasks.Add(task);

    private void ThrowIfFailed()
    {
        foreach (Task failed in (Task[])[.. _writing.Where(task => task.IsFaulted), .. _reading.Where(task => task.IsFaulted)])
            failed.GetAwaiter().GetResult();
    }

    private int GivenToGroup() =>
        History.Group.SelectMany(reading => reading.Records).Select(record => (record.Partition, record.Offset)).Distinct().Count();

    private async Task WriteAsync(EdgeStreamClient client, int partition)
    {
        await Task.Yield();
        await using Producer producer = await client.ProduceAsync(Topic, partition);
        await SendAsync(producer, partition, "patient", _written[partition]);
        await producer.DisposeAsync();
    }

    /// <summary>One producer after the other, each a writer of its own: what one has left unacknowledged may still come, or not.</summary>
    private async Task WriteImpatientlyAsync(EdgeStreamClient client, int partition)
    {
        await Task.Yield();
        for (int number = 0; !_stopWriting.IsCancellationRequested; number++)
        {
            try
            {
                await using Producer producer = await client.ProduceAsync(Topic, partition, patience: ShortPatience);
                await SendAsync(producer, partition, string.Create(CultureInfo.InvariantCulture, $"impatient-{number}"), clock: null);
            }
            catch (Storage.EdgeStreamException)
            {
                await Task.Delay(RetryAfter, _stopWriting.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Until writing is to stop or the producer fails; then all is acknowledged that ever will be.</summary>
    private async Task SendAsync(Producer producer, int partition, string writer, ProgressClock? clock)
    {
        List<Task> acknowledged = [];
        using var timer = new PeriodicTimer(Interval);
        try
        {
            for (long i = 0; await timer.WaitForNextTickAsync(_stopWriting.Token); i++)
            {
                Sent sent = History.Send(partition, writer, i);
                Task<long> offset = await producer.SendAsync(RecordOf(sent.Payload), _stopWriting.Token);

                // All that waited have failed with it, and nothing more will be taken.
                if (acknowledged is [.., { IsFaulted: true }])
                    break;

                acknowledged.Add(NoteAsync(offset, sent, clock));
            }
        }
        catch (OperationCanceledException)
        {
            // Writing is over.
        }
        finally
        {
            await producer.DisposeAsync();
            await Task.WhenAll(acknowledged).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await Task.WhenAll(acknowledged);
    }

    private static async Task NoteAsync(Task<long> offset, Sent sent, ProgressClock? clock)
    {
        sent.Acknowledge(await offset);
        clock?.Tick();
    }

    private async Task WriteAtEdgeAsync(EdgeStreamClient client)
    {
        await Task.Yield();
        await using Producer producer = await client.ProduceAsync(ClusterProcesses.MirrorTopic);
        using var timer = new PeriodicTimer(Interval);
        try
        {
            for (long i = 0; await timer.WaitForNextTickAsync(_stopWriting.Token); i++)
                await await producer.SendAsync(RecordOf(string.Create(CultureInfo.InvariantCulture, $"reading {i}")), _stopWriting.Token);
        }
        catch (OperationCanceledException)
        {
            // Writing is over.
        }
    }

    private async Task WatchMirrorAsync(EdgeStreamClient edge, ProgressClock clock)
    {
        await Task.Yield();
        long mirrored = 0;
        using var timer = new PeriodicTimer(Interval);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopReading.Token))
            {
                if ((await edge.ListPartitionsAsync(ClusterProcesses.MirrorTopic))[0].Mirrored is var now && now > mirrored)
                {
                    mirrored = now;
                    clock.Tick();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Enough.
        }
    }

    private async Task FollowAsync(EdgeStreamClient client, int partition, Reading reading)
    {
        await Task.Yield();
        try
        {
            using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = Topic, Partition = partition, Beginning = true });
            await foreach (Record record in consumer.ReadAsync(_stopReading.Token))
                reading.Add(new Seen(partition, record.Offset, PayloadOf(record)));
        }
        catch (OperationCanceledException)
        {
            // Enough.
        }
    }

    private async Task ReadInGroupAsync(EdgeStreamClient client, Reading reading)
    {
        await Task.Yield();
        await using GroupConsumer member = client.JoinGroup(new GroupOptions(Group, Topic) { Member = reading.Reader });
        try
        {
            await foreach (GroupRecord given in member.ReadAsync(_stopReading.Token))
                reading.Add(new Seen(given.Partition, given.Record.Offset, PayloadOf(given.Record)));
        }
        catch (OperationCanceledException)
        {
            await member.CommitAsync(CancellationToken.None);
        }
    }

    private static async Task ReadAllAsync(EdgeStreamClient client, int partition, Reading reading)
    {
        using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = Topic, Partition = partition, Beginning = true, StopAtEnd = true });
        await foreach (Record record in consumer.ReadAsync())
            reading.Add(new Seen(partition, record.Offset, PayloadOf(record)));
    }

    /// <summary>All was read and committed: whoever reads as the group now is given nothing again.</summary>
    private static async Task CheckPositionsAsync(EdgeStreamClient client)
    {
        await using GroupConsumer late = client.JoinGroup(new GroupOptions(Group, Topic) { StopAtEnd = true });
        List<string> again = [];
        await foreach (GroupRecord given in late.ReadAsync())
            again.Add(PayloadOf(given.Record));

        Assert.Empty(again);
    }

    private async Task CheckEdgesAsync(EdgeStreamClient client)
    {
        foreach (NodeProcess edge in _cluster.Edges)
        {
            Topology topology = await client.GetTopologyAsync();
            int partition = topology.Topics.Single(topic => topic.Name == ClusterProcesses.MirrorTopic).Partitions
                .Single(one => one.GeoLocation == edge.Name).Partition_;
            using EdgeStreamClient atEdge = edge.Connect();
            MirrorAudit? audit = null;
            HashSet<string> seen = [];
            await Condition.WaitAsync(
                () => $"the cluster has all of {edge.Name}, each once: {audit?.Difference}",
                async () =>
                {
                    seen.Clear();
                    audit = await MirrorAudit.RunAsync(atEdge, client, ClusterProcesses.MirrorTopic, partition, record => seen.Add(PayloadOf(record)));
                    return audit.Difference is null;
                },
                Deadline);
            Assert.Equal(0, audit!.Lost);
            Assert.Equal(audit.Records, seen.Count);
        }
    }

    private static Record RecordOf(string payload) =>
        new(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), null, Encoding.ASCII.GetBytes(payload));

    private static string PayloadOf(Record record) => Encoding.ASCII.GetString(record.Value!.Value.Span);
}
