using ZstdSharp;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Compresses the chunks of one stream, as hard as its link is worth (<see cref="CompressionEffort"/>). One context serves all
/// topics, so what a hard level needs of memory, some megabytes, is needed once. For one caller at a time: who has the turn.
/// </summary>
internal sealed class ChunkCompressor(FlowWindow window, TimeProvider time) : IDisposable
{
    private readonly Compressor _compressor = ChunkCodec.CreateCompressor();
    private readonly CompressionEffort _effort = new();

    /// <summary>As <see cref="ChunkCodec.TryCompress"/>.</summary>
    public RentedBytes? TryCompress(ReadOnlySpan<byte> batches)
    {
        _compressor.Level = _effort.Level;
        long start = time.GetTimestamp();
        RentedBytes? compressed = ChunkCodec.TryCompress(_compressor, batches);
        TimeSpan computed = time.GetElapsedTime(start);
        if (window.Rate is > 0 and var rate)
            _effort.Note(computed, TimeSpan.FromSeconds((compressed?.Memory.Length ?? batches.Length) / rate));

        return compressed;
    }

    public void Dispose() => _compressor.Dispose();
}
