using System.Net.Sockets;
using System.Security.Authentication;
using Grpc.Core;

namespace EdgeStream.Mirror.Uplink;

/// <summary>What went wrong on a connection, in a few words for one line.</summary>
internal static class UplinkErrors
{
    /// <summary>What the hub itself has said went wrong; null where it was not the hub that said it.</summary>
    public static ErrorCode? CodeOf(Exception error)
    {
        if ((error as RpcException)?.Trailers.GetValue(Cluster.Grpc.RpcErrors.CodeTrailer) is not { } code)
            return null;

        string name = code.Replace("_", "", StringComparison.Ordinal);
        return Enum.TryParse(name, ignoreCase: true, out ErrorCode known) ? known : ErrorCode.Internal;
    }

    public static string Describe(Exception error)
    {
        for (Exception? cause = error; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case SocketException socket:
                    return socket.Message;
                case AuthenticationException tls when tls.Message.Contains("certificate", StringComparison.OrdinalIgnoreCase):
                    return $"what answers there is not the hub of this edge's CA; was the hub made anew? {tls.Message.TrimEnd('.')}";
                case AuthenticationException tls:
                    return $"what answers there is no EdgeStream hub? {tls.Message.TrimEnd('.')}";
                case RpcException { Status.DebugException: { } inner }:
                    return Describe(inner);
            }
        }

        return error is RpcException rpc ? rpc.Status.Detail : error.Message;
    }
}
