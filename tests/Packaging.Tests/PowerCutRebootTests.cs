using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using EdgeStream.Testing.Power;
using Grpc.Core;

namespace EdgeStream.Packaging.Tests;

/// <summary>The whole device loses its power, and starts again by itself.</summary>
public sealed class PowerCutRebootTests(DebianSystem debian)
{
    private const int Cuts = 10;
    private const int AcknowledgedBeforeCut = 40;

    [Fact(Timeout = 280_000)]
    public async Task Ten_power_cuts_lose_nothing_that_was_acknowledged()
    {
        debian.Require();
        using Device device = await Device.CreateAsync();
        Machine machine = await device.BootAsync();
        var acknowledged = new ConcurrentDictionary<long, string>();
        try
        {
            (await machine.InstallAsync(debian.Package)).Good();

            // As an image for devices is written: what the installation left is on the disk before the first cut.
            await machine.RunAsync("sync");
            for (int cut = 0; cut < Cuts; cut++)
            {
                Task producing = ProduceAsync(machine, cut, acknowledged);
                int before = acknowledged.Count;
                await machine.WaitForAsync("records are acknowledged", () => Task.FromResult(acknowledged.Count >= before + AcknowledgedBeforeCut));
                await device.CutPowerAsync(machine, cut % 2 == 0 ? CutKind.JournalLost : CutKind.JournalFlushed);
                await producing;

                machine = await device.BootAsync();
                await machine.WaitForPropertyAsync("SubState", "running");
                await CheckAsync(machine, acknowledged);
            }

            Console.WriteLine($"{Cuts} power cuts of a booted device: {acknowledged.Count} acknowledged records kept");
        }
        finally
        {
            machine.Dispose();
        }
    }

    /// <summary>Produces until the machine is gone.</summary>
    private static async Task ProduceAsync(Machine machine, int run, ConcurrentDictionary<long, string> acknowledged)
    {
        using EdgeStreamClient client = machine.Connect();
        try
        {
            await using Producer producer = await client.ProduceAsync("readings");
            for (int number = 0; ; number++)
            {
                string value = string.Create(CultureInfo.InvariantCulture, $"{run}.{number}");
                var record = new Record(0, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), null, Encoding.UTF8.GetBytes(value), []);
                acknowledged[await await producer.SendAsync(record)] = value;
            }
        }
        catch (Exception gone) when (gone is EdgeStreamException or RpcException or IOException)
        {
            // The power was cut.
        }
    }

    private static async Task CheckAsync(Machine machine, ConcurrentDictionary<long, string> acknowledged)
    {
        using EdgeStreamClient client = machine.Connect();
        Dictionary<long, string> stored = [];
        using Consumer consumer = await client.ConsumeAsync(new ConsumeRequest { Topic = "readings", Beginning = true, StopAtEnd = true });
        await foreach (Record record in consumer.ReadAsync())
            stored.Add(record.Offset, Encoding.UTF8.GetString(record.Value!.Value.Span));

        Assert.All(acknowledged, entry => Assert.Equal(entry.Value, stored.GetValueOrDefault(entry.Key)));
        Assert.Equal(stored.Count, stored.Values.Distinct().Count());
    }
}
