using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Hub;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Bundles;

/// <summary>
/// Takes bundles at a hub. In this order: all of the file is verified → its signer is → it is compared with what the hub holds
/// → only then anything is changed. Safe from any thread.
/// </summary>
public sealed class BundleImporter(
    IClusterView cluster, IMirrorPartitions partitions, GeoLocationRights rights, HubLinks links, string dataDirectory)
{
    /// <summary>Where a bundle is put while it is taken. Its name is gone at once, so a crash leaves nothing behind.</summary>
    /// <param name="size">How large it will be, in bytes.</param>
    /// <exception cref="ClusterException">The disk has no room for it.</exception>
    public FileStream CreateSpool(long size)
    {
        // Once for the spool, once for what is added from it: a stick must not take the room that the uplinks need.
        long free = StorageBudget.FreeBytes(dataDirectory);
        if (size > free / 2)
        {
            throw new ClusterException(
                ErrorCode.StorageFull,
                $"the bundle has {size} bytes, and taking it needs twice that for a while, but the hub's disk has {free} bytes free; "
                + "nothing was changed; free some space, or export less at once with --to");
        }

        string path = Path.Combine(dataDirectory, $"import-{Guid.NewGuid():N}.tmp");
        var spool = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        File.Delete(path);
        return spool;
    }

    /// <summary>Verifies and applies a bundle; what it holds is durable on return. Again, it changes nothing.</summary>
    /// <param name="bundle">The whole file, which nobody else can change; read several times.</param>
    /// <param name="cancellationToken">Heeded until the first record is added.</param>
    /// <exception cref="Storage.EdgeStreamException">The bundle is refused; nothing was changed.</exception>
    public async Task<V1.ImportLogResponse> ImportAsync(FileStream bundle, CancellationToken cancellationToken)
    {
        V1.BundleHeader header = Verify(bundle);

        // An uplink of the same edge ends, and one that comes waits until this is over: nobody else writes to the partition.
        // Only the wait is cancelled: a newer stream of the edge does not end what was begun here.
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using HubLinks.Link link = await links.ReplaceAsync(header.GeoLocation, waiting).ConfigureAwait(false);
        long held = await CompareAsync(bundle, header, cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        return await ApplyAsync(bundle, header, held).ConfigureAwait(false);
    }

    private V1.BundleHeader Verify(FileStream bundle)
    {
        using BundleReader reader = Rewind(bundle);
        while (reader.ReadChunk() is not null)
        {
        }

        V1.BundleHeader header = reader.Header;
        if (rights.FindSignerProblem(reader.Signer!, header.GeoLocation) is { } problem)
            throw new ClusterException(ErrorCode.Unauthenticated, $"the bundle's signature is refused: {problem}; nothing was changed");

        MirrorOrigin.CheckForm(header.Incarnation);
        Names.CheckTopic(header.Topic);
        return header;
    }

    /// <summary>Where the hub's copy ends; checks that the bundle continues it, and is the same where they overlap.</summary>
    private async Task<long> CompareAsync(FileStream bundle, V1.BundleHeader header, CancellationToken cancellationToken)
    {
        PartitionInfo? known = cluster.Current.Topics.GetValueOrDefault(header.Topic)?.PartitionOf(header.GeoLocation);
        Partition? partition = known is null ? null : cluster.GetPartition(header.Topic, known.Number);
        long end = partition?.Log.Offsets.End ?? 0;
        if (partition is not null)
        {
            MirrorOrigin.Check(partition, header.Incarnation);
            await partition.Log.WaitForDurableAsync(end, cancellationToken).ConfigureAwait(false);
        }

        if (header.FirstOffset > end)
        {
            throw new ClusterException(
                ErrorCode.OffsetConflict,
                $"the bundle holds offsets {header.FirstOffset} to {header.LastOffset} of '{header.Topic}' of '{header.GeoLocation}', but the hub's "
                + $"copy ends at {end}: {header.FirstOffset - end} records would be missing; nothing was changed; export with --from {end}");
        }

        if (partition is null || header.FirstOffset == end)
            return end;

        using var copy = new BatchCursor(partition.Log, header.FirstOffset);
        using BundleReader reader = Rewind(bundle);
        while (reader.ReadChunk() is { } chunk)
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach ((RecordBatchHeader batchHeader, ReadOnlyMemory<byte> batch) in RecordBatches.Split(chunk))
            {
                if (batchHeader.BaseOffset >= end)
                    return end;

                if (batchHeader.NextOffset > end || await copy.DiffersAsync(batchHeader, batch, cancellationToken).ConfigureAwait(false))
                {
                    throw new ClusterException(
                        ErrorCode.OffsetConflict,
                        $"the bundle's batch at offsets {batchHeader.BaseOffset} to {batchHeader.LastOffset} differs from what {partition.Id} of "
                        + $"'{header.GeoLocation}' holds there, which ends at {end}; nothing was changed; one of the two was not filled from the other's log");
                }
            }
        }

        return end;
    }

    private async Task<V1.ImportLogResponse> ApplyAsync(FileStream bundle, V1.BundleHeader header, long held)
    {
        await partitions.EnsureGeoLocationAsync(header.GeoLocation).ConfigureAwait(false);
        PartitionId id = await partitions.EnsureMirrorPartitionAsync(header.Topic, header.GeoLocation).ConfigureAwait(false);
        Partition partition = cluster.GetPartition(id.Topic, id.Partition);
        IPartitionLog log = partition.Log;
        long end = header.LastOffset + 1;
        if (held < end)
        {
            await MirrorOrigin.CheckOrAdoptAsync(partition, header.Incarnation, firstOffset: 0).ConfigureAwait(false);
            using BundleReader reader = Rewind(bundle);
            while (reader.ReadChunk() is { } chunk)
            {
                // The chunk's memory is the reader's, so one at a time; they are synced together. Held batches are passed over.
                await (await log.EnqueueVerbatimAsync(chunk, AckLevel.Written).ConfigureAwait(false)).ConfigureAwait(false);
            }

            // Bundles hold what is durable at the edge.
            partition.Edge = partition.Edge with { Durable = Math.Max(partition.Edge.Durable, end) };
        }

        await log.WaitForDurableAsync(end, CancellationToken.None).ConfigureAwait(false);
        return new V1.ImportLogResponse
        {
            Header = header,
            Partition = id.Partition,
            AddedRecords = Math.Max(0, end - held),
            Durable = log.Offsets.Durable,
        };
    }

    private static BundleReader Rewind(FileStream bundle)
    {
        bundle.Position = 0;
        return new BundleReader(bundle);
    }
}
