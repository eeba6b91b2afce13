using EdgeStream.Mirror.Hub;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Hub;

public sealed class HubFlowTests
{
    private const int ChunkBytes = 50_000;

    [Fact]
    public async Task A_thousand_edges_with_half_a_chunk_each_all_complete_it()
    {
        var flow = new HubFlow(10 * ChunkBytes);
        int done = 0;
        await Task.WhenAll(Enumerable.Range(0, 1000).Select(async _ =>
        {
            var share = new HubFlow.Share(flow);
            await Task.Yield();
            IDisposable? room = await share.TryBeginChunkAsync(ChunkBytes, CancellationToken.None);
            Assert.NotNull(room);
            using (room)
            {
                for (int half = 0; half < 2; half++)
                {
                    await share.TakeAsync(ChunkBytes / 2, CancellationToken.None);
                    Assert.True(flow.UnfinishedBytes <= 10 * ChunkBytes);
                    await Task.Yield();
                    share.Return(ChunkBytes / 2);
                }

                using IDisposable inflated = await flow.ChargeWholeAsync(4 * ChunkBytes, CancellationToken.None);
                Assert.True(flow.WholeBytes <= 10 * ChunkBytes);
                await Task.Yield();
            }

            Interlocked.Increment(ref done);
        })).InTimeAsync();
        Assert.Equal(1000, done);
        Assert.Equal((0, 0, 0), (flow.ArrivedBytes, flow.UnfinishedBytes, flow.WholeBytes));
    }

    [Fact]
    public async Task Edge_that_has_one_under_way_does_not_wait_for_the_room_of_another()
    {
        var flow = new HubFlow(10 * ChunkBytes);
        HubFlow.Share holder = new(flow), other = new(flow);
        using HubFlow.ChunkRoom? first = await holder.TryBeginChunkAsync(6 * ChunkBytes, CancellationToken.None);
        using IDisposable? rest = await other.TryBeginChunkAsync(4 * ChunkBytes, CancellationToken.None);

        // Its other pieces could not be read meanwhile.
        Assert.Null(await holder.TryBeginChunkAsync(ChunkBytes, CancellationToken.None).AsTask().InTimeAsync());
        Task<HubFlow.ChunkRoom?> waiting = new HubFlow.Share(flow).TryBeginChunkAsync(ChunkBytes, CancellationToken.None).AsTask();
        Assert.False(waiting.IsCompleted);
        first!.Dispose();
        Assert.NotNull(await waiting.InTimeAsync());
    }

    [Fact]
    public async Task Room_grows_at_once_or_not_at_all()
    {
        var flow = new HubFlow(10 * ChunkBytes);
        HubFlow.Share one = new(flow), other = new(flow);
        using HubFlow.ChunkRoom? room = await one.TryBeginChunkAsync(ChunkBytes, CancellationToken.None);
        using (await other.TryBeginChunkAsync(6 * ChunkBytes, CancellationToken.None))
        {
            Assert.True(room!.TryGrowTo(4 * ChunkBytes));
            Assert.False(room.TryGrowTo(5 * ChunkBytes));
            Assert.Equal((4 * ChunkBytes, 10 * ChunkBytes), (room.Bytes, flow.UnfinishedBytes));
        }

        Assert.True(room.TryGrowTo(5 * ChunkBytes));
        room.Dispose();
        room.Dispose();
        Assert.Equal(0, flow.UnfinishedBytes);
    }

    [Fact]
    public async Task One_edge_has_the_room_of_one_chunk_and_no_more()
    {
        var flow = new HubFlow();
        var share = new HubFlow.Share(flow);
        using (IDisposable? largest = await share.TryBeginChunkAsync(ChunkCodec.MaxUncompressedBytes, CancellationToken.None))
        using (IDisposable? small = await share.TryBeginChunkAsync(ChunkBytes, CancellationToken.None))
        {
            Assert.NotNull(small);
            Assert.Null(await share.TryBeginChunkAsync(ChunkCodec.MaxUncompressedBytes, CancellationToken.None));
        }

        using IDisposable? again = await share.TryBeginChunkAsync(ChunkCodec.MaxUncompressedBytes, CancellationToken.None);
        Assert.NotNull(again);
    }
}
