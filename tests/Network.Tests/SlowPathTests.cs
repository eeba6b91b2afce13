using System.Diagnostics;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Harness.Network;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Network.Tests;

/// <summary>A path that is well but slow or long: the mirror uses it, and is not taken for dead.</summary>
public sealed class SlowPathTests
{
    // A backlog of which a part passes while it is watched.
    private const int Backlog = 400;
    private const int RecordBytes = 1000;

    // A batch goes up whole: devices write small ones.
    private const int BatchRecords = 4;

    [Fact(Timeout = 240_000)]
    public async Task Slow_link_makes_steady_progress_and_stays_one_connection()
    {
        // Nothing waits behind more than two seconds of data; an answer has a second more for what it takes at both ends, syncs and looking
        // for it included. What the hub has moves by chunks, each of which may take as long to go, and
        // is told in the next; where an edge stands it tells each two seconds.
        TimeSpan watched = TimeSpan.FromSeconds(25), longestAnswer = TimeSpan.FromSeconds(3);
        TimeSpan longestStandstill = TimeSpan.FromSeconds(4), longestNews = TimeSpan.FromSeconds(4);
        using MirrorSite site = await MirrorSite.StartAsync(uplink: "");
        site.Path.Shape(LinkShape.Slow);
        for (int i = 0; i < Backlog; i += BatchRecords)
            await site.ProduceAsync(BatchRecords, RecordBytes);

        await site.WaitAsync("the backlog goes up", async () => await MirroredAsync(site) > 0);

        // What the edge tells about itself goes the same way as the backlog: does it come through beside it?
        long start = Stopwatch.GetTimestamp(), first = await MirroredAsync(site), last = first;
        long moved = start, told = start, produced = 0;
        TimeSpan standstill = default, news = default, answer = default;
        Task? telling = null, asking = null;
        int asked = 0;
        while (Stopwatch.GetElapsedTime(start) < watched)
        {
            news = Longer(news, Stopwatch.GetElapsedTime(told));
            if (telling is null or { IsCompletedSuccessfully: true })
            {
                told = Stopwatch.GetTimestamp();
                telling = TellAsync();
            }

            if (asking is null or { IsCompletedSuccessfully: true })
                asking = AskAsync();

            long mirrored = await MirroredAsync(site);
            standstill = Longer(standstill, Stopwatch.GetElapsedTime(moved));
            if (mirrored > last)
                (last, moved) = (mirrored, Stopwatch.GetTimestamp());

            await Task.Delay(50);
        }

        double used = (last - first) * RecordBytes * 8 / Stopwatch.GetElapsedTime(start).TotalSeconds;
        Console.WriteLine(
            $"50 kbit/s: {used / 1000:0.0} kbit/s of records, longest standstill {standstill.TotalSeconds:0.0} s, "
            + $"slowest news {news.TotalSeconds:0.0} s, slowest of {asked} answers {answer.TotalSeconds:0.0} s");
        Assert.True(last < Backlog, "the backlog was gone before the end");
        Assert.InRange(standstill, TimeSpan.Zero, longestStandstill);
        Assert.InRange(news, TimeSpan.Zero, longestNews);
        Assert.InRange(asked, 5, int.MaxValue);
        Assert.InRange(answer, TimeSpan.Zero, longestAnswer);
        Assert.True(used > LinkShape.Slow.BitsPerSecond * 0.5);
        Assert.Equal((0, ""), (await ReconnectsAsync(site)));

        site.Path.Heal();
        await telling!;
        await asking!;

        Assert.Equal(Backlog + produced, (await site.AuditAsync()).Records);

        // A question that the edge asks the hub beside the backlog: may this topic be mirrored? Until the answer is back.
        async Task AskAsync()
        {
            string topic = $"question-{asked}";
            long question = Stopwatch.GetTimestamp();
            await site.EdgeClient.CallAsync(client => client.ControlPlane.CreateTopicAsync(
                new CreateTopicRequest { Name = topic, Settings = new TopicSettings { Mirror = true } }));
            await site.WaitAsync("the question is at the hub", async () => await HasTopicAsync(site.HubClient, topic));
            answer = Longer(answer, Stopwatch.GetElapsedTime(question));
            asked++;
        }

        // From the append of a record at the edge until the hub knows of it, which is before it has it.
        async Task TellAsync()
        {
            await site.ProduceAsync(1, size: 1);
            long durable = Backlog + ++produced;
            await site.WaitAsync(
                "the hub is told how far the edge is", async () => (await MirrorSite.MarksAsync(site.HubClient))!.EdgeDurable >= durable);
        }
    }

    [Fact(Timeout = 240_000)]
    public async Task Long_link_is_used()
    {
        const int Size = 10_000, Count = 1500, Settled = 300;
        using MirrorSite site = await MirrorSite.StartAsync(uplink: "");
        site.Path.Shape(LinkShape.Long);
        await site.ProduceAsync(Count, Size);

        // TCP has found out by then how much the path holds.
        await site.WaitAsync("the backlog goes up", async () => await MirroredAsync(site) >= Settled);
        long start = Stopwatch.GetTimestamp(), first = await MirroredAsync(site);
        await site.WaitAsync("the backlog is mirrored", async () => await MirroredAsync(site) == Count);
        double rate = (Count - first) * Size * 8.0 / Stopwatch.GetElapsedTime(start).TotalSeconds;

        Console.WriteLine($"10 Mbit/s, 600 ms: {rate / 1e6:0.00} Mbit/s of records");
        Assert.True(rate > LinkShape.Long.BitsPerSecond * 0.3);
        Assert.Equal((0, ""), (await ReconnectsAsync(site)));
        Assert.Equal(Count, (await site.AuditAsync()).Records);
    }

    private static TimeSpan Longer(TimeSpan one, TimeSpan other) => one > other ? one : other;

    private static async Task<bool> HasTopicAsync(EdgeStreamClient node, string topic)
    {
        ListPartitionsResponse answer = await node.CallAsync(client => client.ControlPlane.ListPartitionsAsync(new ListPartitionsRequest { Topic = topic }));
        return answer.Partitions.Count > 0;
    }

    private static async Task<long> MirroredAsync(MirrorSite site) => (await MirrorSite.MarksAsync(site.EdgeClient))!.Mirrored;

    private static async Task<(long Reconnects, string LastError)> ReconnectsAsync(MirrorSite site)
    {
        UplinkStatus uplink = await site.UplinkAsync();
        return (uplink.Reconnects, uplink.LastError);
    }
}
