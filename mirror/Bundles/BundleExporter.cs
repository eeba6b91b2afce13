using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Bundles;

/// <summary>Makes a bundle of what a partition at an edge holds durably.</summary>
public sealed class BundleExporter : IDisposable
{
    private readonly PartitionLog _log;
    private readonly BundleWriter _writer;

    private BundleExporter(PartitionLog log, V1.ExportRange range, BundleWriter writer)
    {
        _log = log;
        _writer = writer;
        Range = range;
    }

    /// <summary>What the bundle will hold, and where it stops because of lost records.</summary>
    public V1.ExportRange Range { get; }

    /// <summary>The offset up to which batches were written.</summary>
    public long NextOffset => _writer.NextOffset;

    /// <summary>Settles what is exported: whole batches, from the one that holds the first offset wanted.</summary>
    /// <param name="partition">The edge's partition.</param>
    /// <param name="geoLocation">The edge's name at its hub.</param>
    /// <param name="signer">The certificate of that name, with its key.</param>
    /// <param name="request">Which offsets.</param>
    /// <param name="createdAt">The time, for people.</param>
    /// <param name="write">Takes the file, piece by piece; a piece is valid until the call is over.</param>
    /// <exception cref="Storage.EdgeStreamException">There is nothing to export in the range, or the range makes no sense.</exception>
    public static BundleExporter Open(
        Partition partition, string geoLocation, X509Certificate2 signer, V1.ExportLogRequest request, DateTimeOffset createdAt,
        Func<ReadOnlyMemory<byte>, ValueTask> write)
    {
        PartitionLog log = partition.Segments;
        LogOffsets offsets = log.Offsets;
        long from = request.HasFrom ? request.From : offsets.Start;
        long to = Math.Min(request.HasTo ? request.To : offsets.Durable, offsets.Durable);
        if (request.HasTo && request.To <= from)
            throw new ClusterException(ErrorCode.InvalidArgument, $"there is nothing between --from {from} and --to {request.To}");

        long first = BatchAt(log, from, to).BaseOffset;
        if (first < 0)
        {
            throw new ClusterException(
                ErrorCode.OffsetOutOfRange,
                $"there is nothing to export: {partition.Id} holds durable records from {offsets.Start} up to {offsets.Durable}, "
                + $"and none of them is in {from} up to {to}");
        }

        Gap? lost = log.Gaps.FirstOrDefault(gap => gap.First >= first && gap.First < to);
        long end = BatchAt(log, (lost?.First ?? to) - 1, long.MaxValue).NextOffset;
        var range = new V1.ExportRange
        {
            Header = new V1.BundleHeader
            {
                GeoLocation = geoLocation,
                Topic = partition.Id.Topic,
                Incarnation = log.Manifest.Incarnation.ToString("N"),
                FirstOffset = first,
                LastOffset = end - 1,
                CreatedAt = createdAt.ToUnixTimeMilliseconds(),
            },
            LostFrom = lost?.First ?? 0,
            GoOnFrom = lost is null ? 0 : BehindGaps(log, lost),
        };
        return new BundleExporter(log, range, new BundleWriter(range.Header, signer, write));
    }

    /// <summary>Writes all of it. What it wrote is no bundle where this fails.</summary>
    public async Task WriteAsync(CancellationToken cancellationToken)
    {
        long end = Range.Header.LastOffset + 1;
        await _writer.WriteHeaderAsync().ConfigureAwait(false);
        using LogReader reader = _log.OpenReader(Range.Header.FirstOffset);
        while (_writer.NextOffset < end)
        {
            cancellationToken.ThrowIfCancellationRequested();
            using LogSlice slice = reader.Read(BundleFormat.ChunkBytes, end);

            // What was there when the range was settled: retention has dropped it, or the disk cannot read it any more.
            if (slice.BaseOffset != _writer.NextOffset || slice.IsEmpty)
            {
                throw new ClusterException(
                    ErrorCode.OffsetOutOfRange, $"the records at offset {_writer.NextOffset} were lost while they were exported; export again");
            }

            await _writer.WriteBatchesAsync(slice.Batches).ConfigureAwait(false);
        }

        await _writer.FinishAsync().ConfigureAwait(false);
    }

    public void Dispose() => _writer.Dispose();

    /// <summary>Where the first batch begins and ends that holds an offset or what follows; -1 where there is none.</summary>
    private static (long BaseOffset, long NextOffset) BatchAt(PartitionLog log, long offset, long end)
    {
        using LogReader reader = log.OpenReader(offset);
        using LogSlice slice = reader.Read(maxBytes: 1, end);
        return slice.IsEmpty ? (-1, -1) : (slice.BaseOffset, slice.NextOffset);
    }

    private static long BehindGaps(PartitionLog log, Gap gap)
    {
        long next = gap.Last + 1;
        foreach (Gap later in log.Gaps.Where(later => later.First == next))
            next = later.Last + 1;

        return next;
    }
}
