using System.Net.Sockets;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage;
using Grpc.Core;

namespace EdgeStream.Client;

/// <summary>A call to a cluster failed. The message is the cluster's own where it answered.</summary>
public sealed class ClientException : EdgeStreamException
{
    private const string CodeTrailer = "edgestream-error";

    // What an SC that stands by says where it knows who does not: there one is to ask.
    private const string NamesAnother = "the active one is ";

    internal ClientException(ErrorCode code, string message, Exception? inner = null)
        : base(message, inner) => (Code, Reason) = (code, message);

    /// <summary><see cref="ErrorCode.Unavailable"/> where the cluster could not be reached.</summary>
    public ErrorCode Code { get; }

    /// <summary>Whether to ask again may help soon: somebody of the cluster has answered, and waits for others or for its turn.</summary>
    internal bool IsPassing { get; private init; }

    private bool HasAnswered { get; init; }

    /// <summary>The message without endpoint and advice, for one that has its own.</summary>
    private string Reason { get; init; }

    /// <summary>What a failed call means, with the endpoint that it went to.</summary>
    public static ClientException From(RpcException error, string endpoint)
    {
        if (error.Trailers.GetValue(CodeTrailer) is { } name)
        {
            bool known = Enum.TryParse(name.Replace("_", "", StringComparison.Ordinal), ignoreCase: true, out ErrorCode code);
            return new ClientException(known ? code : ErrorCode.Internal, error.Status.Detail, error)
            {
                HasAnswered = true,
                IsPassing = code == ErrorCode.Unavailable && !error.Status.Detail.Contains(NamesAnother, StringComparison.Ordinal),
            };
        }

        if (error.StatusCode == StatusCode.Unimplemented)
        {
            return new ClientException(
                ErrorCode.WrongRole, $"the node at {endpoint} does not serve that: ask a hub where this is an edge, or a newer version", error);
        }

        Exception cause = error.Status.DebugException ?? error;
        while (cause.InnerException is { } inner && cause is not TimeoutException)
            cause = inner;

        string reason = cause switch
        {
            RpcException rpc => rpc.Status.Detail,
            TimeoutException => "nothing there has answered in time",
            HttpRequestException { HttpRequestError: HttpRequestError.VersionNegotiationError } =>
                "what answers there does not speak HTTP/2 and is no EdgeStream node",

            // The runtime's word for ENOENT.
            SocketException { SocketErrorCode: SocketError.AddressNotAvailable } => "there is no such socket",
            _ => cause.Message,
        };
        return new ClientException(ErrorCode.Unavailable, $"no answer from {endpoint} ({reason}); {AdviceFor(endpoint)}", error) { Reason = reason };
    }

    /// <summary>Of several nodes none could help; in the order in which they were asked.</summary>
    internal static ClientException OfAll(IReadOnlyList<(string Endpoint, ClientException Error)> failures)
    {
        ILookup<bool, ClientException> unavailable = failures
            .Where(failure => failure.Error.Code == ErrorCode.Unavailable).ToLookup(failure => failure.Error.HasAnswered, failure => failure.Error);
        if (!unavailable[true].Any() && failures.FirstOrDefault(failure => failure.Error.Code != ErrorCode.Unavailable).Error is { } refused)
            return refused;

        // Who is named as the active one may be the one that cannot be reached any more.
        bool isPassing = unavailable[true].Any(error => error.IsPassing || unavailable[false].Any());
        string all = string.Join(", ", failures.Select(failure => $"{failure.Endpoint} ({failure.Error.Reason})"));
        return new ClientException(ErrorCode.Unavailable, $"no answer from {all}; {AdviceFor(failures[0].Endpoint)}", failures[^1].Error) { IsPassing = isPassing };
    }

    private static string AdviceFor(string endpoint) => endpoint.StartsWith("unix:", StringComparison.Ordinal)
        ? "is edgestream running there? 'edgestream run' or 'systemctl start edgestream' starts it"
        : "check address, port and certificates";
}
