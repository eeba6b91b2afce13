using System.Diagnostics;
using System.Globalization;
using EdgeStream.Cluster.Topology;
using EdgeStream.ClusterTesting;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>
/// Many edges in one process of its own: each with its own identity, metadata, log and uplink, as in the program, without the rest
/// of it. Told by standard input what to do, a word a line; answers each with a line.
/// </summary>
internal sealed class SimulatedEdges
{
    public const string Command = "simulated-edges";

    /// <summary>Appends a backlog at each edge, while the uplinks rest.</summary>
    public const string Fill = "fill";

    /// <summary>Starts all uplinks at once; the answer is how many seconds it took until the hub had everything.</summary>
    public const string Connect = "connect";

    /// <summary>Ends all uplinks.</summary>
    public const string Disconnect = "disconnect";

    private const string Topic = "readings";
    private const int Records = 100;
    private const int JoinsAtOnce = 8;

    // The memory that the edges' disks are made of is this machine's.
    private static readonly LogOptions SmallLogs = new() { SegmentBytes = 256 * 1024, PreallocateBytes = 32 * 1024 };

    private readonly List<Edge> _edges = [];

    /// <param name="hub">The hub's address.</param>
    /// <param name="directory">Where the edges' data goes; holds a file <c>tokens</c> with an invite for each, a line each.</param>
    public static async Task RunAsync(string hub, string directory)
    {
        var edges = new SimulatedEdges();
        string[] tokens = await File.ReadAllLinesAsync(Path.Combine(directory, "tokens"));
        long start = Stopwatch.GetTimestamp();
        await Parallel.ForEachAsync(
            tokens.Index(),
            new ParallelOptions { MaxDegreeOfParallelism = JoinsAtOnce },
            async (token, _) =>
            {
                Edge edge = await Edge.JoinAsync(Path.Combine(directory, $"edge-{token.Index}"), hub, token.Item);
                lock (edges._edges)
                    edges._edges.Add(edge);
            });
        Answer(Stopwatch.GetElapsedTime(start));
        while (await Console.In.ReadLineAsync() is { } word)
        {
            start = Stopwatch.GetTimestamp();
            await Task.WhenAll(edges._edges.Select(edge => word switch
            {
                Fill => edge.FillAsync(),
                Connect => edge.MirrorAsync(),
                _ => edge.StopAsync(),
            }));
            Answer(Stopwatch.GetElapsedTime(start));
        }
    }

    private static void Answer(TimeSpan time) => Console.WriteLine(time.TotalSeconds.ToString(CultureInfo.InvariantCulture));

    private sealed class Edge
    {
        private readonly NodeParts _parts;
        private readonly EdgeIdentity _identity;
        private CancellationTokenSource _stop = new();
        private Task _running = Task.CompletedTask;

        private Edge(NodeParts parts, EdgeIdentity identity) => (_parts, _identity) = (parts, identity);

        private PartitionLog Log => _parts.Log(Topic);

        public static async Task<Edge> JoinAsync(string directory, string hub, string token)
        {
            NodeParts parts = await NodeParts.StartAsync(directory, options: SmallLogs, files: DiskFiles.Instance);
            await parts.Controller.CreateTopicAsync(Topic, 1, new TopicSettings(Mirror: true));
            return new Edge(parts, await HubEnroller.JoinAsync(directory, hub, token, JoiningCard.New, CancellationToken.None));
        }

        public async Task FillAsync()
        {
            using var batch = new RecordBatchWriter();
            foreach (Reading reading in SensorReadings.OfSensors(Records))
                batch.Append(new Record(reading.Timestamp, reading.Key, reading.Value));

            await Log.AppendAsync(batch.Build(), AckLevel.Durable);
        }

        public async Task MirrorAsync()
        {
            var options = new UplinkOptions();
            var limits = new LinkLimits(options, _parts.DataDirectory, TimeProvider.System);
            var marks = new MirrorMarks(MirrorRule.All);
            marks.Join(_identity.Id);
            var uplink = new HubUplink(
                _identity, _parts.Controller, marks, options, "benchmark", [], limits, TimeProvider.System, NullLogger<HubUplink>.Instance);
            _stop = new CancellationTokenSource();
            _running = Task.Run(() => uplink.RunAsync(_stop.Token));
            await Log.WaitForMirroredAsync(Log.Offsets.Durable, CancellationToken.None);
        }

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            await _running;
            _stop.Dispose();
        }
    }
}
