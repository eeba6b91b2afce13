using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Hosting;

/// <summary>Bundles over a stream: out of an edge, into a hub.</summary>
internal static class BundleCalls
{
    private const int PieceBytes = 1024 * 1024;

    /// <summary>Sends the range, then the file.</summary>
    public static async Task ExportAsync(
        Node node, EdgeIdentity identity, ExportLogRequest request, TimeProvider time, IServerStreamWriter<ExportLogResponse> responses,
        CancellationToken cancellationToken)
    {
        Cluster.Spu.Partition partition = node.Cluster.GetPartition(request.Topic, request.Partition);
        TopicInfo? topic = node.Cluster.Current.Topics.GetValueOrDefault(request.Topic);
        if (topic is not { Settings.Mirror: true })
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument, $"topic '{request.Topic}' is no mirror topic, so its records have no place at a hub; nothing was exported");
        }

        BundleExporter? writing = null;
        using BundleExporter exporter = BundleExporter.Open(
            partition, identity.GeoLocation, identity.Certificate, request, time.GetUtcNow(), SendAsync);
        writing = exporter;
        await responses.WriteAsync(new ExportLogResponse { Range = exporter.Range }, cancellationToken).ConfigureAwait(false);
        await exporter.WriteAsync(cancellationToken).ConfigureAwait(false);

        async ValueTask SendAsync(ReadOnlyMemory<byte> bytes)
        {
            for (; !bytes.IsEmpty; bytes = bytes[Math.Min(PieceBytes, bytes.Length)..])
            {
                // The bytes are only valid during this call, which is over when the message was sent.
                ByteString piece = UnsafeByteOperations.UnsafeWrap(bytes[..Math.Min(PieceBytes, bytes.Length)]);
                await responses
                    .WriteAsync(new ExportLogResponse { Data = piece, NextOffset = writing!.NextOffset }, cancellationToken)
                    .ConfigureAwait(false);
            }
        }
    }

    /// <summary>Takes a file in, all of it, before anything is done with it.</summary>
    public static async Task<ImportLogResponse> ImportAsync(
        BundleImporter importer, IAsyncStreamReader<ImportLogRequest> requests, CancellationToken cancellationToken)
    {
        if (!await requests.MoveNext(cancellationToken).ConfigureAwait(false))
            throw new ClusterException(ErrorCode.InvalidArgument, "there is no bundle to import");

        long size = requests.Current.TotalBytes;
        await using FileStream spool = importer.CreateSpool(size);
        do
        {
            ReadOnlyMemory<byte> piece = requests.Current.Data.Memory;
            if (piece.Length > size - spool.Position)
                throw new ClusterException(ErrorCode.InvalidArgument, $"the file is larger than the {size} bytes that were announced; was it written to meanwhile?");

            await spool.WriteAsync(piece, cancellationToken).ConfigureAwait(false);
        }
        while (await requests.MoveNext(cancellationToken).ConfigureAwait(false));

        await spool.FlushAsync(cancellationToken).ConfigureAwait(false);
        return await importer.ImportAsync(spool, cancellationToken).ConfigureAwait(false);
    }
}
