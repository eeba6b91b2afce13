using System.Diagnostics;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;

namespace EdgeStream.Network.Tests;

/// <summary>Everything that can happen to a site, in random order, for as long as it is told; everything is well again after it.</summary>
internal sealed class Soak
{
    // More than the topic keeps.
    private const int BurstRecords = 2500;
    private const int BurstSize = 10_000;

    private static readonly TimeSpan LongestRest = TimeSpan.FromSeconds(1);

    private readonly MirrorSite _site;
    private readonly CountingProducer _producer;
    private readonly Random _random;
    private readonly TimeSpan _longestFault;
    private readonly Action<string> _log;
    private readonly Deck _path;
    private readonly Deck _nodes;

    /// <param name="site">Where it happens.</param>
    /// <param name="producer">What meanwhile appends at the edge.</param>
    /// <param name="seed">Repeats the order, and how long each fault lasts.</param>
    /// <param name="longestFault">The most that one lasts.</param>
    /// <param name="log">Told each fault when it begins.</param>
    public Soak(MirrorSite site, CountingProducer producer, int seed, TimeSpan longestFault, Action<string> log)
    {
        (_site, _producer, _random, _longestFault, _log) = (site, producer, new Random(seed), longestFault, log);
        SitePath path = site.Path;

        // One of each deck may come together: they do not get in each other's way.
        _path = new Deck(_random);
        _path.Add("the edge's plug is pulled", PathFault(() => path.SetPlugged(PathEnd.Edge, false)));
        _path.Add("the hub's plug is pulled", PathFault(() => path.SetPlugged(PathEnd.Hub, false)));
        _path.Add("the router drops everything", PathFault(() => path.Block(PathEnd.Edge | PathEnd.Hub)));
        _path.Add("nothing of the edge's arrives", PathFault(() => path.Block(PathEnd.Edge)));
        _path.Add("nothing of the hub's arrives", PathFault(() => path.Block(PathEnd.Hub)));
        _path.Add("every third packet is lost", PathFault(() => path.Lose(30)));
        _path.Add("the link is slow", PathFault(() => path.Shape(LinkShape.Slow)));
        _path.Add("the link is long", PathFault(() => path.Shape(LinkShape.Long)));
        _path.Add("a middle box swallows", PathFault(() => path.ForgetIdle(TimeSpan.FromSeconds(60))));
        _path.Add("a middle box resets", PathFault(() => path.ForgetIdle(TimeSpan.FromSeconds(60), ForgottenConnection.Reset)));
        _path.Add("the edge has another address", PathFault(path.ChangeEdgeAddress));
        _path.Add("the hub has another address", PathFault(path.ChangeHubAddress));
        _path.Add("retention overtakes a cut link", PathFault(() =>
        {
            path.Block(PathEnd.Edge | PathEnd.Hub);
            producer.Burst(BurstRecords, BurstSize);
        }));

        _nodes = new Deck(_random);
        _nodes.Add("the edge is killed", last => KillAsync(site.Edge, last));
        _nodes.Add("the hub is killed", last => KillAsync(site.Hub, last));
        _nodes.Add("the edge is frozen", last => FreezeAsync(site.Edge, last));
        _nodes.Add("the hub is frozen", last => FreezeAsync(site.Hub, last));
        _nodes.Add("the hub's disk is full", async last =>
        {
            site.HubDisk.TakeRoom();
            await Task.Delay(last);
            site.HubDisk.GiveRoom();
        });
        _nodes.Add("the hub is started on a full disk", async last =>
        {
            site.Hub.Kill();
            site.HubDisk.TakeRoom();
            await site.Hub.StartAsync();
            await Task.Delay(last);
            site.HubDisk.GiveRoom();
        });
    }

    /// <returns>How many faults there were.</returns>
    public async Task<int> RunAsync(TimeSpan duration)
    {
        var elapsed = Stopwatch.StartNew();
        int faults = 0;
        while (elapsed.Elapsed < duration)
        {
            await Task.Delay(LongestRest * _random.NextDouble());
            double dice = _random.NextDouble();
            Fault[] drawn = dice switch
            {
                < 0.5 => [_path.Draw()],
                < 0.8 => [_nodes.Draw()],
                _ => [_path.Draw(), _nodes.Draw()],
            };
            (Fault Fault, TimeSpan Last)[] now = [.. drawn.Select(fault => (fault, _longestFault * _random.NextDouble()))];
            string what = string.Join(", ", now.Select(one => $"{one.Fault.Name} {one.Last.TotalSeconds:0.0} s"));
            _log($"{elapsed.Elapsed.TotalSeconds,7:0.0} s, {_producer.Sent} records: {what}");
            await Task.WhenAll(now.Select(one => one.Fault.BeAsync(one.Last)));
            faults += now.Length;
        }

        return faults;
    }

    private static async Task KillAsync(NodeProcess node, TimeSpan last)
    {
        node.Kill();
        await Task.Delay(last);
        await node.StartAsync();
    }

    private static async Task FreezeAsync(NodeProcess node, TimeSpan last)
    {
        node.Process.Signal("STOP");
        await Task.Delay(last);
        node.Process.Signal("CONT");
    }

    private Func<TimeSpan, Task> PathFault(Action begin) => async last =>
    {
        begin();
        await Task.Delay(last);
        _site.Path.Heal();
    };

    /// <param name="Name">What goes wrong.</param>
    /// <param name="BeAsync">Lasts for so long; all is well again when it completes.</param>
    private sealed record Fault(string Name, Func<TimeSpan, Task> BeAsync);

    /// <summary>Gives each of its cards once, in random order, and then again.</summary>
    private sealed class Deck(Random random)
    {
        private readonly List<Fault> _cards = [];
        private readonly Queue<Fault> _left = new();

        public void Add(string name, Func<TimeSpan, Task> act) => _cards.Add(new Fault(name, act));

        public Fault Draw()
        {
            if (_left.Count == 0)
            {
                Fault[] shuffled = [.. _cards];
                random.Shuffle(shuffled);
                foreach (Fault card in shuffled)
                    _left.Enqueue(card);
            }

            return _left.Dequeue();
        }
    }
}
