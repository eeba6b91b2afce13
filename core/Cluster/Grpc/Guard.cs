using System.Globalization;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// Stands before gRPC: refuses whoever may not call a method before a byte of the request is read. An interceptor comes too late for
/// that: gRPC reads a unary request whole before it asks one, so strangers would have memory for the asking.
/// </summary>
public sealed class Guard(ICallerAuthenticator authenticator, IClusterView cluster, GeoLocationPresence presence, ILogger<Guard> logger) : IStartupFilter
{
    private const string MirrorService = "/edgestream.v1.Mirror/";

    private static readonly object CallerKey = new();

    /// <summary>Who makes a call that has passed the guard.</summary>
    public static CallerIdentity CallerOf(HttpContext call) =>
        call.Items.TryGetValue(CallerKey, out object? caller) ? (CallerIdentity)caller! : CallerIdentity.Anonymous;

    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => application =>
    {
        application.Use(AdmitAsync);
        next(application);
    };

    /// <summary>Checks the caller's right to a call.</summary>
    /// <exception cref="ClusterException">It has none.</exception>
    public void Admit(HttpContext call)
    {
        if (!call.Items.ContainsKey(CallerKey))
            call.Items[CallerKey] = CallerIdentity.Of(call, authenticator);

        CallerIdentity caller = CallerOf(call);
        if (IsRevoked(caller, cluster.Current))
            throw new ClusterException(ErrorCode.Unauthenticated, $"the client certificate was refused: those of '{caller.Name}' were revoked");

        AccessPolicy.Check(MethodOf(call), caller);
    }

    /// <summary>
    /// Ends a call that lasts as soon as its caller's name is revoked. That of a geo-location has checks of its own, before each thing that it does.
    /// </summary>
    /// <param name="call">One that was admitted.</param>
    /// <param name="over">Cancelled when the call has ended.</param>
    public async Task WatchAsync(HttpContext call, CancellationToken over)
    {
        CallerIdentity caller = CallerOf(call);
        if (!IsRevocable(caller))
            return;

        try
        {
            TopologyMap known = cluster.Current;
            for (; !IsRevoked(caller, known); known = cluster.Current)
                await cluster.WaitForChangeAsync(known, over).ConfigureAwait(false);

            logger.LogWarning("{Method} of '{Caller}' is ended: its certificates were revoked", MethodOf(call), caller.Name);
            call.Abort();
        }
        catch (Exception ended) when (ended is OperationCanceledException or ClusterException)
        {
            // The call is over; or this is an SC that stands by from now on, with which all ends that it served.
        }
    }

    /// <summary>What the caller is told of an error. Takes note of cards that are refused.</summary>
    public RpcException Explain(HttpContext call, Exception error)
    {
        // Of an SC that has just ceased to be the active one; elsewhere it is a mistake that somebody has to see.
        if (error is OperationCanceledException or ObjectDisposedException)
        {
            if (error is ObjectDisposedException)
                logger.LogWarning(error, "{Method} used what had ended", MethodOf(call));

            return RpcErrors.ToRpcException(new ClusterException(ErrorCode.Unavailable, "the node is stopping; try again"));
        }

        if (error is not EdgeStreamException)
            logger.LogError(error, "{Method} failed", MethodOf(call));

        NoteRefusal(call, error);
        return RpcErrors.ToRpcException(error);
    }

    private static bool IsRevocable(CallerIdentity caller) =>
        caller.Role is CallerRole.Consumer or CallerRole.Producer or CallerRole.Spu or CallerRole.Admin;

    private static bool IsRevoked(CallerIdentity caller, TopologyMap topology) => IsRevocable(caller) && topology.RevokedNames.Contains(caller.Name);

    private static string MethodOf(HttpContext call) => call.Request.Path.Value ?? "";

    private async Task AdmitAsync(HttpContext call, RequestDelegate next)
    {
        // All that gRPC does not refuse itself before it reads.
        if (HttpProtocol.IsHttp2(call.Request.Protocol)
            && call.Request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) == true)
        {
            try
            {
                Admit(call);
            }
            catch (Exception error)
            {
                Refuse(call.Response, Explain(call, error));
                return;
            }
        }

        await next(call).ConfigureAwait(false);
    }

    private static void Refuse(HttpResponse response, RpcException refusal)
    {
        response.ContentType = "application/grpc";
        response.AppendTrailer("grpc-status", ((int)refusal.StatusCode).ToString(CultureInfo.InvariantCulture));
        response.AppendTrailer("grpc-message", Uri.EscapeDataString(refusal.Status.Detail));
        foreach (global::Grpc.Core.Metadata.Entry trailer in refusal.Trailers)
            response.AppendTrailer(trailer.Key, trailer.Value);
    }

    /// <summary>Of who comes as an edge does: with a certificate, to mirror.</summary>
    private void NoteRefusal(HttpContext call, Exception error)
    {
        CallerIdentity caller = CallerOf(call);
        bool isCard = caller is { Role: CallerRole.GeoLocation } or { Role: CallerRole.Anonymous, Problem: not null };
        if (!isCard || !MethodOf(call).StartsWith(MirrorService, StringComparison.Ordinal)
            || error is not ClusterException { Code: ErrorCode.Unauthenticated or ErrorCode.CardSuperseded })
            return;

        string address = call.Connection.RemoteIpAddress?.ToString() ?? "";
        if (presence.Refusals.Note(caller.Name, error.Message, address))
        {
            logger.LogWarning(
                "{GeoLocation} was refused, from {Address}: {Problem}", caller.Name.Length > 0 ? caller.Name : "a card of no geo-location", address, error.Message);
        }
    }
}

/// <summary>How a node serves gRPC.</summary>
public static class GuardedGrpc
{
    /// <summary>What one message of a stream may take where streams carry batches or reports: a batch has 4 MiB at most, and several may go together.</summary>
    public const int MaxStreamedBytes = 16 * 1024 * 1024;

    // The largest of the others name each partition of a topic, or each of its geo-locations.
    private const int MaxRequestBytes = 256 * 1024;

    /// <summary>Adds gRPC with the guard before it. Needs an <see cref="ICallerAuthenticator"/> and a <see cref="GeoLocationPresence"/>.</summary>
    public static IGrpcServerBuilder AddGuardedGrpc(this IServiceCollection services)
    {
        services.AddSingleton<Guard>();
        services.AddSingleton<IStartupFilter>(provider => provider.GetRequiredService<Guard>());
        return services.AddGrpc(grpc =>
        {
            grpc.Interceptors.Add<GuardInterceptor>();
            grpc.MaxReceiveMessageSize = MaxRequestBytes;
            grpc.MaxSendMessageSize = null;
        });
    }

    /// <summary>Lets a service take large messages, which only streams have: who sends them has passed the guard.</summary>
    public static IGrpcServerBuilder AllowLargeMessages<TService>(this IGrpcServerBuilder grpc)
        where TService : class => grpc.AddServiceOptions<TService>(options => options.MaxReceiveMessageSize = MaxStreamedBytes);
}
