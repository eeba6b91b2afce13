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

        return CodeOf(code);
    }

    /// <summary>What a code's name stands for.</summary>
    public static ErrorCode CodeOf(string code) =>
        Enum.TryParse(code.Replace("_", "", StringComparison.Ordinal), ignoreCase: true, out ErrorCode known) ? known : ErrorCode.Internal;

    /// <summary>Whether waiting does not help: neither the link nor the hub's disk is in the way, but who this edge is or what it has.</summary>
    public static bool NeedsSomebody(ErrorCode code) => code
        is ErrorCode.Unauthenticated or ErrorCode.PermissionDenied or ErrorCode.GeoLocationNotFound or ErrorCode.CardSuperseded
        or ErrorCode.IncarnationMismatch or ErrorCode.OffsetConflict or ErrorCode.TopicExists or ErrorCode.WrongRole or ErrorCode.InvalidArgument;

    /// <summary>The same of a failed connection; also where another answers in the hub's place.</summary>
    public static bool NeedsSomebody(Exception error) => CodeOf(error) is { } code ? NeedsSomebody(code) : IsOfAnotherHub(error);

    public static string Describe(Exception error)
    {
        for (Exception? cause = error; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case SocketException socket:
                    return socket.Message;
                case AuthenticationException tls when IsAboutCertificate(tls):
                    return $"what answers there is not the hub of this edge's CA; was the hub made anew? {tls.Message.TrimEnd('.')}";
                case AuthenticationException tls:
                    return $"what answers there is no EdgeStream hub? {tls.Message.TrimEnd('.')}";
                case HttpRequestException { HttpRequestError: HttpRequestError.VersionNegotiationError }:
                    return "what answers there speaks TLS but not HTTP/2: a web server, or a proxy, but no EdgeStream hub";
                case OperationCanceledException { InnerException: TimeoutException }:
                    return $"nothing there has answered within {HubChannel.ConnectTimeout.TotalSeconds:0} s, as an EdgeStream hub would";
                case RpcException { Status.DebugException: { } inner }:
                    return Describe(inner);
                case RpcException { StatusCode: StatusCode.DeadlineExceeded }:
                    return "it has not answered in time";
            }
        }

        return error is RpcException rpc ? rpc.Status.Detail : error.Message;
    }

    private static bool IsAboutCertificate(AuthenticationException tls) => tls.Message.Contains("certificate", StringComparison.OrdinalIgnoreCase);

    private static bool IsOfAnotherHub(Exception error)
    {
        for (Exception? cause = error; cause is not null; cause = cause.InnerException)
        {
            if (cause is AuthenticationException tls)
                return IsAboutCertificate(tls);

            if (cause is RpcException { Status.DebugException: { } inner })
                return IsOfAnotherHub(inner);
        }

        return false;
    }
}
