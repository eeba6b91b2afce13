using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Time;
using EdgeStream.Testing;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Cluster.Tests.Grpc;

/// <summary>Who consumes learns when a record was made, though the clock was set only after it was stored.</summary>
public sealed class ConsumeTimeTests
{
    [Fact]
    public async Task Consumer_corrects_what_was_stamped_before_the_clock_was_set()
    {
        var clock = new FakeClock();
        await using InProcessNode node = await InProcessNode.StartAsync(resources: new LogResources { Clock = clock });
        await node.CreateTopicAsync("t");
        long made = clock.True, stamped = clock.Wall;
        await node.Parts.Log("t").AppendAsync(Batches.Stamped(stamped), AckLevel.Durable);
        Assert.Equal([new CorrectedTime(stamped, TimeCertainty.Unknown)], await TimesAsync(node));

        clock.Advance(TimeSpan.FromMinutes(5));
        clock.Synchronise();
        await Eventually.HoldsAsync(
            () =>
            {
                // A log looks at the clock once a second at most, and only when something comes in.
                node.Parts.Log("t").AppendAsync(Batches.Stamped(clock.Wall), AckLevel.Durable).AsTask().GetAwaiter().GetResult();
                return node.Parts.Log("t").Clock.History.Anchors[^1].Reading.Synchronised;
            },
            "the log knows that the clock was set");
        List<CorrectedTime> times = await TimesAsync(node);
        Assert.Equal(new CorrectedTime(made, TimeCertainty.Corrected), times[0]);
        Assert.Equal(new CorrectedTime(clock.Wall, TimeCertainty.Right), times[^1]);
    }

    [Fact]
    public async Task Consumer_that_waits_is_told_of_the_news()
    {
        var clock = new FakeClock();
        await using InProcessNode node = await InProcessNode.StartAsync(resources: new LogResources { Clock = clock });
        await node.CreateTopicAsync("t");
        using Consumer consumer = await node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true });
        await using IAsyncEnumerator<Record> records = consumer.ReadAsync().GetAsyncEnumerator();
        clock.Synchronise();
        TimeCertainty seen;
        do
        {
            await node.Parts.Log("t").AppendAsync(Batches.Stamped(clock.Wall), AckLevel.Durable);
            Assert.True(await records.MoveNextAsync());
            seen = consumer.TimeOf(records.Current).Certainty;
        }
        while (seen == TimeCertainty.Unknown);

        Assert.Equal(TimeCertainty.Right, seen);
    }

    private static async Task<List<CorrectedTime>> TimesAsync(InProcessNode node)
    {
        using Consumer consumer = await node.Client.ConsumeAsync(new ConsumeRequest { Topic = "t", Beginning = true, StopAtEnd = true });
        var times = new List<CorrectedTime>();
        await foreach (Record record in consumer.ReadAsync())
            times.Add(consumer.TimeOf(record));

        return times;
    }
}
