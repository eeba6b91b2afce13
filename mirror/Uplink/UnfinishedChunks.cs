using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Keeps what a session has in chunks that have begun and not ended within what a hub takes
/// (<see cref="ChunkCodec.MaxUnfinishedBytes"/>): one large chunk at a time, and small ones beside it, so that what is urgent does not wait
/// for a batch of megabytes on a slow link. Safe from any thread.
/// </summary>
internal sealed class UnfinishedChunks
{
    private const int SmallChunkBytes = 256 * 1024;

    private readonly ByteBudget _small = new(ChunkCodec.MaxUnfinishedBytes - ChunkCodec.MaxUncompressedBytes);
    private readonly ByteBudget _large = new(ChunkCodec.MaxUncompressedBytes);

    /// <summary>Waits until a chunk that goes in pieces may begin; <see cref="End"/> follows.</summary>
    public ValueTask BeginAsync(int bytes, CancellationToken cancellationToken) => BudgetOf(bytes).AcquireAsync(bytes, cancellationToken);

    /// <summary>All of the chunk's pieces were sent, or no more will be.</summary>
    public void End(int bytes) => BudgetOf(bytes).Release(bytes);

    private ByteBudget BudgetOf(int bytes) => bytes <= SmallChunkBytes ? _small : _large;
}
