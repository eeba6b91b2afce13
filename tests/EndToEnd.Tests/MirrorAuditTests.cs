using System.Text;
using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>The audit that other tests end with sees what is wrong. Two edges play edge and hub, and nothing is mirrored.</summary>
public sealed class MirrorAuditTests : IDisposable
{
    private const string Bounded = $$"""
        [[topic]]
        name = "{{Sites.Topic}}"
        mirror = true
        retention = { bytes = "16MiB" }
        """;

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Other_records_missing_ones_and_too_many_are_differences()
    {
        using NodeProcess one = NodeProcess.Edge(_directory.Path, Sites.Plain, "one");
        using NodeProcess other = NodeProcess.Edge(_directory.Path, Sites.Plain, "other");
        await Task.WhenAll(one.StartAsync(), other.StartAsync());
        using EdgeStreamClient first = one.Connect(), second = other.Connect();
        await ProduceAsync(first, 3);

        Assert.Equal(new MirrorAudit(3, 0, null), await AuditAsync(first, first));
        Assert.Equal("the hub has neither a record nor a gap at 0, the edge ends at 3", (await AuditAsync(first, second)).Difference);
        Assert.Equal("the hub has more than the edge, which ends at 0", (await AuditAsync(second, first)).Difference);

        await ProduceAsync(second, 3);
        Assert.Equal("the batch at 0 differs", (await AuditAsync(first, second)).Difference);
    }

    [Fact]
    public async Task Gap_that_only_one_side_knows_is_a_difference()
    {
        const int Records = 30, Size = 900_000;
        using NodeProcess lossy = NodeProcess.Edge(_directory.Path, Bounded, "lossy");
        using NodeProcess whole = NodeProcess.Edge(_directory.Path, Sites.Plain, "whole");
        await Task.WhenAll(lossy.StartAsync(), whole.StartAsync());
        using EdgeStreamClient lost = lossy.Connect(), held = whole.Connect();
        await ProduceAsync(lost, Records, Size);
        await ProduceAsync(held, Records, Size);

        MirrorAudit same = await AuditAsync(lost, lost);
        Assert.Equal((null, Records), (same.Difference, same.Records + same.Lost));
        Assert.InRange(same.Lost, 1, Records - 1);
        Assert.Equal("0 is lost by the hub's account, not by the edge's", (await AuditAsync(held, lost)).Difference);

        // The hub had them before the edge dropped them: nothing is wrong until there are others where both have some.
        MirrorAudit late = await AuditAsync(lost, held);
        Assert.Equal((same.Lost, 0), (late.Records, late.Lost));
        Assert.Equal($"the batch at {same.Lost} differs", late.Difference);
    }

    private static Task<MirrorAudit> AuditAsync(EdgeStreamClient edge, EdgeStreamClient hub) =>
        MirrorAudit.RunAsync(edge, hub, Sites.Topic, hubPartition: 0);

    /// <summary>Records of one batch each, different at each call.</summary>
    private static async Task ProduceAsync(EdgeStreamClient client, int count, int size = 100)
    {
        await using Producer producer = await client.ProduceAsync(Sites.Topic);
        for (int i = 0; i < count; i++)
        {
            byte[] value = Encoding.ASCII.GetBytes($"{Guid.NewGuid()}".PadRight(size));
            await await producer.SendAsync(new Record(i, key: null, new ReadOnlyMemory<byte>(value)));
        }
    }
}
