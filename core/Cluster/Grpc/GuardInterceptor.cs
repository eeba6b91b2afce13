using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// Stands before every call: checks the caller's right to it, and turns what it throws into a status. Takes note of cards that are
/// refused.
/// </summary>
public sealed class GuardInterceptor(ICallerAuthenticator authenticator, GeoLocationPresence presence, ILogger<GuardInterceptor> logger)
    : Interceptor
{
    private const string CallerKey = "edgestream.caller";

    private const string MirrorService = "/edgestream.v1.Mirror/";

    /// <summary>Who makes a call that has passed the guard.</summary>
    public static CallerIdentity CallerOf(ServerCallContext context) =>
        context.UserState.TryGetValue(CallerKey, out object? caller) ? (CallerIdentity)caller : CallerIdentity.Anonymous;

    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => continuation(request, context));

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request,
        IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => Untyped(continuation(request, responseStream, context)));

    public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream,
        ServerCallContext context,
        ClientStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => continuation(requestStream, context));

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream,
        IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => Untyped(continuation(requestStream, responseStream, context)));

    private async Task<T> GuardAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        CallerIdentity caller = CallerIdentity.Anonymous;
        try
        {
            caller = CallerIdentity.Of(context.GetHttpContext(), authenticator);
            AccessPolicy.Check(context.Method, caller);
            context.UserState[CallerKey] = caller;
            return await call().ConfigureAwait(false);
        }
        catch (Exception) when (context.CancellationToken.IsCancellationRequested)
        {
            // The caller went away; nobody is left to be told.
            throw new RpcException(Status.DefaultCancelled);
        }
        catch (Exception over) when (over is OperationCanceledException or ObjectDisposedException)
        {
            // Of an SC that has just ceased to be the active one; elsewhere it is a mistake that somebody has to see.
            if (over is ObjectDisposedException)
                logger.LogWarning(over, "{Method} used what had ended", context.Method);

            throw RpcErrors.ToRpcException(new ClusterException(ErrorCode.Unavailable, "the node is stopping; try again"));
        }
        catch (Exception error) when (error is not RpcException)
        {
            if (error is not EdgeStreamException)
                logger.LogError(error, "{Method} failed", context.Method);

            NoteRefusal(context, caller, error);
            throw RpcErrors.ToRpcException(error);
        }
    }

    /// <summary>Of who comes as an edge does: with a certificate, to mirror.</summary>
    private void NoteRefusal(ServerCallContext context, CallerIdentity caller, Exception error)
    {
        bool isCard = caller is { Role: CallerRole.GeoLocation } or { Role: CallerRole.Anonymous, Problem: not null };
        if (!isCard || !context.Method.StartsWith(MirrorService, StringComparison.Ordinal)
            || error is not ClusterException { Code: ErrorCode.Unauthenticated or ErrorCode.CardSuperseded })
            return;

        string address = context.GetHttpContext().Connection.RemoteIpAddress?.ToString() ?? "";
        if (presence.Refusals.Note(caller.Name, error.Message, address))
        {
            logger.LogWarning(
                "{GeoLocation} was refused, from {Address}: {Problem}", caller.Name.Length > 0 ? caller.Name : "a card of no geo-location", address, error.Message);
        }
    }

    private static async Task<bool> Untyped(Task call)
    {
        await call.ConfigureAwait(false);
        return true;
    }
}
