using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>A program that appends while the node that it appends to is killed.</summary>
public sealed class ProducerTests
{
    [Fact(Timeout = 300_000)]
    public async Task Killed_and_stopped_hub_has_each_record_once_and_in_order()
    {
        const int AtLeast = 50_000, Kills = 4;
        using var directory = new TemporaryDirectory();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", "orders");
        using EdgeStreamClient client = hub.Connect();

        int interruptions = 0, sent = 0;
        using var done = new CancellationTokenSource();
        Task<List<long>> producing = Task.Run(async () =>
        {
            var acknowledged = new List<Task<long>>();
            await using (Producer producer = await client.ProduceAsync("orders", interrupted: _ => Interlocked.Increment(ref interruptions)))
            {
                for (int i = 0; i < AtLeast || !done.IsCancellationRequested; i++)
                {
                    byte[] value = Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture));
                    acknowledged.Add(await producer.SendAsync(new Record(0, 0, null, value, [])));
                    Volatile.Write(ref sent, i);
                }
            }

            return (await Task.WhenAll(acknowledged)).ToList();
        });
        var chaos = new Chaos(Chaos.NewSeed());
        chaos.Add("kill the hub", async () =>
        {
            int before = Volatile.Read(ref sent);
            await Condition.WaitAsync("it produces", () => Volatile.Read(ref sent) > before || producing.IsFaulted);
            await chaos.KillAndRestartAsync(hub);
        });
        chaos.Add("stop the hub", () => Chaos.StopAndRestartAsync(hub));
        await chaos.RunAsync(Kills, TimeSpan.FromMilliseconds(500));
        await done.CancelAsync();
        List<long> offsets = await producing.WaitAsync(TimeSpan.FromMinutes(2));

        Assert.True(interruptions >= Kills, $"it noticed {interruptions} of {2 * Kills} interruptions");
        Assert.Equal(Enumerable.Range(0, offsets.Count).Select(i => (long)i), offsets);
        using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = "orders", Beginning = true, StopAtEnd = true });
        int next = 0;
        await foreach (Record record in consumer.ReadAsync(TestContext.Current.CancellationToken))
        {
            Assert.Equal(next.ToString(CultureInfo.InvariantCulture), Encoding.ASCII.GetString(record.Value!.Value.Span));
            next++;
        }

        Console.WriteLine($"{next} records, {interruptions} interruptions");
        Assert.Equal(offsets.Count, next);
    }
}
