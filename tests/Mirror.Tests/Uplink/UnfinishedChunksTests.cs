using EdgeStream.Mirror.Uplink;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class UnfinishedChunksTests
{
    [Fact]
    public async Task Large_chunks_go_one_after_the_other_and_small_ones_beside_them()
    {
        const int Large = 4_000_000, Small = 10_000;
        var unfinished = new UnfinishedChunks();
        await unfinished.BeginAsync(Large, CancellationToken.None);
        Task second = unfinished.BeginAsync(Large, CancellationToken.None).AsTask();
        Assert.False(second.IsCompleted);
        await unfinished.BeginAsync(Small, CancellationToken.None).AsTask().InTimeAsync();
        unfinished.End(Large);
        await second.InTimeAsync();
        unfinished.End(Small);
        unfinished.End(Large);
    }
}
