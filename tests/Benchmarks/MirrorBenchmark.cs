using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.Benchmarks;

/// <summary>Catch-up: an edge with a backlog joins a hub; until the hub holds all of it durably. Over TLS on loopback.</summary>
internal static class MirrorBenchmark
{
    private const int Runs = 3;
    private const int Records = 1_000_000;
    private const int ValueSize = 100;
    private const string Topic = "readings";

    public static async Task RunAsync(Report report)
    {
        TimeSpan time = await Report.MedianAsync(Runs, CatchUpAsync);
        report.Add($"mirror catch-up of {Records:#,0} × {ValueSize} B", Records, (long)Records * ValueSize, time);
    }

    private static async Task<TimeSpan> CatchUpAsync()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, $"[[topic]]\nname = \"{Topic}\"\nmirror = true");
        await hub.StartAsync();
        await edge.StartAsync();
        using EdgeStreamClient client = edge.Connect();
        await ApiBenchmark.ProduceAsync(client, Topic, Payload.OfSize(ValueSize), Records);
        string token = await hub.CommandAsync("geo", "invite", "bench");

        // From the word "join": connection, enrolment and the first answer are in the figure.
        using EdgeStreamClient atHub = hub.Connect();
        return await Report.TimeAsync(async () =>
        {
            await edge.CommandAsync("join", $"127.0.0.1:{port}", "--token", token);
            await Condition.WaitAsync(
                () => "the hub holds the backlog",
                async () =>
                {
                    var answer = await atHub.CallAsync(c => c.ControlPlane.ListPartitionsAsync(new Protocol.V1.ListPartitionsRequest()));
                    return answer.Partitions.Any(partition => partition.Durable == Records);
                },
                TimeSpan.FromMinutes(5));
        });
    }
}
