using Grpc.Core;
using Grpc.Core.Interceptors;
using Microsoft.AspNetCore.Http;

namespace EdgeStream.Cluster.Grpc;

/// <summary>Stands around every call: none is made that <see cref="Guard"/> does not admit, and what it throws becomes a status.</summary>
public sealed class GuardInterceptor(Guard guard) : Interceptor
{
    /// <summary>Who makes a call that has passed the guard.</summary>
    public static CallerIdentity CallerOf(ServerCallContext context) => Guard.CallerOf(context.GetHttpContext());

    public override Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
        TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => continuation(request, context));

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request,
        IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context,
        ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => WatchAsync(context, Untyped(continuation(request, responseStream, context))));

    public override Task<TResponse> ClientStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream,
        ServerCallContext context,
        ClientStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => WatchAsync(context, continuation(requestStream, context)));

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream,
        IServerStreamWriter<TResponse> responseStream,
        ServerCallContext context,
        DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        GuardAsync(context, () => WatchAsync(context, Untyped(continuation(requestStream, responseStream, context))));

    private async Task<T> GuardAsync<T>(ServerCallContext context, Func<Task<T>> call)
    {
        HttpContext http = context.GetHttpContext();
        try
        {
            guard.Admit(http);
            return await call().ConfigureAwait(false);
        }
        catch (Exception) when (context.CancellationToken.IsCancellationRequested)
        {
            // The caller went away, or its deadline has passed; nobody is left to be told.
            throw new RpcException(Status.DefaultCancelled);
        }
        catch (Exception error) when (error is not RpcException)
        {
            throw guard.Explain(http, error);
        }
    }

    /// <summary>Of a call that may last: it ends where its caller is shut out.</summary>
    private async Task<T> WatchAsync<T>(ServerCallContext context, Task<T> call)
    {
        using var over = new CancellationTokenSource();
        Task watching = guard.WatchAsync(context.GetHttpContext(), over.Token);
        try
        {
            return await call.ConfigureAwait(false);
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await watching.ConfigureAwait(false);
        }
    }

    private static async Task<bool> Untyped(Task call)
    {
        await call.ConfigureAwait(false);
        return true;
    }
}
