using System.Threading.Channels;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class TopicUplinkTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Chunk_that_waits_to_be_sent_when_the_topic_is_refused_gives_its_credit_back()
    {
        byte[] batch = Batches.Of("a");
        await using PartitionLog log = PartitionLog.Open(
            _temp.Sub("log"), () => PartitionManifest.CreateNew("t", 0, new Dictionary<string, string>()), files: new FaultyFiles());
        for (int i = 0; i < 3; i++)
            await log.AppendAsync(batch, AckLevel.Durable);

        var credit = new ByteBudget(1_000_000);
        var outgoing = Channel.CreateBounded<(V1.EdgeMessage Message, LogSlice? Slice)>(1);
        var uplink = new TopicUplink(
            "t", log, new UplinkOptions { ChunkBytes = 1 }, TimeProvider.System, outgoing.Writer, credit, new NoObserver(), NullLogger.Instance);
        using var stop = new CancellationTokenSource();
        Task running = uplink.RunAsync(stop.Token);
        Assert.NotNull((await outgoing.Reader.ReadAsync().InTimeAsync()).Message.Open);
        uplink.Opened(0);

        // One chunk is on its way, the next one waits for its turn.
        await Eventually.HoldsAsync(() => credit.Used == 2 * batch.Length, "two chunks have their credit");
        uplink.Refused("no room");
        await Eventually.HoldsAsync(() => credit.Used == batch.Length, "the one that was not sent has given it back");

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running.InTimeAsync());
        Assert.True(outgoing.Reader.TryRead(out (V1.EdgeMessage Message, LogSlice? Slice) sent));
        sent.Slice!.Dispose();
    }

    private sealed class NoObserver : IUplinkObserver
    {
        public void Welcomed()
        {
        }

        public void Sent(int bytes)
        {
        }

        public void Refused(string problem)
        {
        }
    }
}
