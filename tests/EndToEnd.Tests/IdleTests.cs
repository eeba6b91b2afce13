using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>A gateway on which nothing happens does next to nothing: on a battery each wake-up counts.</summary>
public sealed class IdleTests
{
    // Kestrel's heartbeat is one a second and cannot be turned off. No timer of ours may be faster; a few that are slower come on top.
    private const double MostOfAThread = 1.5;
    private const double MostOfAll = 6;

    private static readonly TimeSpan Window = TimeSpan.FromSeconds(10);

    [Fact(Timeout = 180_000)]
    public async Task Edge_with_a_broker_and_nothing_to_do_has_no_timer_faster_than_a_second()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.IsBroker(FreePort.Take()));
        await edge.StartAsync();
        await edge.Process.WaitForLineAsync("source mqtt-broker.* runs");

        // At first the runtime compiles; then it comes to rest.
        string seen = "";
        await Condition.WaitAsync(() => $"it is at rest; wake-ups a second: {seen}", IsAtRestAsync, TimeSpan.FromSeconds(120));

        async Task<bool> IsAtRestAsync()
        {
            var before = ThreadWakeUps.Of(edge.Process.Id);
            await Task.Delay(Window);
            (string Name, double Rate)[] threads = [.. ThreadWakeUps.Of(edge.Process.Id).Since(before).Select(thread => (thread.Name, thread.Count / Window.TotalSeconds))];
            double total = threads.Sum(thread => thread.Rate);
            seen = $"{total:0.0}, of which {string.Join(", ", threads.Take(5).Select(thread => $"{thread.Name} {thread.Rate:0.0}"))}";
            return threads[0].Rate <= MostOfAThread && total <= MostOfAll;
        }
    }
}
