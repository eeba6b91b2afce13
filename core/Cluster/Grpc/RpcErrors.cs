using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Grpc.Core;

namespace EdgeStream.Cluster.Grpc;

/// <summary>The one place where errors become gRPC statuses: a status, the message for people, and the code in a trailer.</summary>
public static class RpcErrors
{
    /// <summary>The trailer that carries the <see cref="ErrorCode"/>, for instance <c>TOPIC_NOT_FOUND</c>.</summary>
    public const string CodeTrailer = "edgestream-error";

    public static RpcException ToRpcException(Exception error)
    {
        ErrorCode code = CodeOf(error);
        string message = error is EdgeStreamException or IOException
            ? error.Message
            : $"unexpected {error.GetType().Name}: {error.Message}";
        var trailers = new global::Grpc.Core.Metadata { { CodeTrailer, NameOf(code) } };
        return new RpcException(new Status(StatusOf(code), message), trailers);
    }

    public static ErrorCode CodeOf(Exception error) => error switch
    {
        ClusterException cluster => cluster.Code,
        InvalidNameException => ErrorCode.InvalidArgument,
        CorruptBatchException => ErrorCode.CorruptBatch,
        OffsetOutOfRangeException => ErrorCode.OffsetOutOfRange,
        OffsetConflictException => ErrorCode.OffsetConflict,
        SequenceConflictException => ErrorCode.SequenceConflict,
        StorageFullException => ErrorCode.StorageFull,
        LogClosedException or LogBusyException => ErrorCode.Unavailable,
        LogFailedException or PartitionDamagedException => ErrorCode.StorageFailed,
        IOException disk => DiskErrors.IsFull(disk) ? ErrorCode.StorageFull : ErrorCode.StorageFailed,
        _ => ErrorCode.Internal,
    };

    /// <summary>The code's name on the wire: that of the .proto file without its prefix.</summary>
    public static string NameOf(ErrorCode code) =>
        string.Concat(code.ToString().Select((c, i) => i > 0 && char.IsUpper(c) ? $"_{c}" : char.ToUpperInvariant(c).ToString()));

    private static StatusCode StatusOf(ErrorCode code) => code switch
    {
        ErrorCode.InvalidArgument or ErrorCode.CorruptBatch => StatusCode.InvalidArgument,
        ErrorCode.TopicNotFound or ErrorCode.PartitionNotFound or ErrorCode.GeoLocationNotFound or ErrorCode.GroupNotFound
            => StatusCode.NotFound,
        ErrorCode.TopicExists or ErrorCode.GeoLocationExists or ErrorCode.SpuExists => StatusCode.AlreadyExists,
        ErrorCode.OffsetOutOfRange => StatusCode.OutOfRange,
        ErrorCode.StorageFull or ErrorCode.TooManyStreams => StatusCode.ResourceExhausted,
        ErrorCode.StorageFailed => StatusCode.DataLoss,
        ErrorCode.Unauthenticated or ErrorCode.CertificateExpired => StatusCode.Unauthenticated,
        ErrorCode.PermissionDenied or ErrorCode.TokenUnknown or ErrorCode.TokenUsed or ErrorCode.TokenExpired
            => StatusCode.PermissionDenied,
        ErrorCode.MirrorOnly or ErrorCode.IncarnationMismatch or ErrorCode.OffsetConflict or ErrorCode.WrongRole or ErrorCode.GroupInUse or ErrorCode.SequenceConflict
            or ErrorCode.NotLeader
            => StatusCode.FailedPrecondition,
        ErrorCode.Unavailable => StatusCode.Unavailable,
        _ => StatusCode.Internal,
    };
}
