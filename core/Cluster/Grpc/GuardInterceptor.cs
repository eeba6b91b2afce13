using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Grpc;

/// <summary>Stands before every call: checks the caller's right to it, and turns what it throws into a status.</summary>
public sealed class GuardInterceptor(ICallerAuthenticator authenticator, ILogger<GuardInterceptor> logger) : Interceptor
{
    private const string CallerKey = "edgestream.caller";

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
        try
        {
            CallerIdentity caller = CallerIdentity.Of(context.GetHttpContext(), authenticator);
            AccessPolicy.Check(context.Method, caller);
            context.UserState[CallerKey] = caller;
            return await call().ConfigureAwait(false);
        }
        catch (Exception) when (context.CancellationToken.IsCancellationRequested)
        {
            // The caller went away; nobody is left to be told.
            throw new RpcException(Status.DefaultCancelled);
        }
        catch (OperationCanceledException)
        {
            throw RpcErrors.ToRpcException(new ClusterException(ErrorCode.Unavailable, "the node is stopping; try again"));
        }
        catch (Exception error) when (error is not RpcException)
        {
            if (error is not EdgeStreamException)
                logger.LogError(error, "{Method} failed", context.Method);

            throw RpcErrors.ToRpcException(error);
        }
    }

    private static async Task<bool> Untyped(Task call)
    {
        await call.ConfigureAwait(false);
        return true;
    }
}
