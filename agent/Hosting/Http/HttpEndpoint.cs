using System.Net;
using System.Net.Sockets;
using System.Text;
using EdgeStream.Agent.Configuration;
using EdgeStream.Storage;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace EdgeStream.Agent.Hosting.Http;

/// <summary>
/// A node's door for monitoring: <c>/metrics</c>, <c>/healthz</c> and <c>/readyz</c> over HTTP/1.1. It asks nobody who they
/// are, so it opens nothing else: what comes in here never gets to the gRPC services, and what comes in there never gets here.
/// </summary>
internal sealed class HttpEndpoint : IDisposable
{
    private readonly Socket _socket;

    private HttpEndpoint(Socket socket) => _socket = socket;

    private IPEndPoint Address => (IPEndPoint)_socket.LocalEndPoint!;

    /// <summary>Takes the port. Null where none is wanted, or the default one cannot be had: several nodes may share a machine.</summary>
    /// <param name="listen">Where.</param>
    /// <param name="network">The network API's address, which goes before the default here.</param>
    /// <param name="logger">Told that the default could not be had.</param>
    /// <exception cref="EdgeStreamException">The address that was chosen cannot be had.</exception>
    public static HttpEndpoint? Open(HttpListen listen, IPEndPoint? network, ILogger logger)
    {
        if (listen.Endpoint is not { } endpoint)
            return null;

        string problem = "is for the network API";
        if (listen.IsChosen || network?.Port != endpoint.Port)
        {
            var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                // Listening at once: until then another program could take the port as well.
                socket.Bind(endpoint);
                socket.Listen();
                return new HttpEndpoint(socket);
            }
            catch (SocketException error)
            {
                socket.Dispose();
                problem = error.SocketErrorCode == SocketError.AddressAlreadyInUse
                    ? "is in use by another program"
                    : $"cannot be listened on ({error.Message})";
            }
        }

        if (listen.IsChosen)
            throw new EdgeStreamException($"{endpoint} {problem}; choose another address with http.listen or --http, or none");

        logger.LogWarning("no metrics over HTTP: {Endpoint} {Problem}; --http chooses another address, or none", endpoint, problem);
        return null;
    }

    /// <summary>Lets the server listen here, and mark the connections that come in here.</summary>
    public void AddTo(WebApplicationBuilder builder)
    {
        builder.Services.Configure<SocketTransportOptions>(sockets => sockets.CreateBoundListenSocket = endpoint =>
            endpoint.Equals(Address) ? _socket : SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint));
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(Address, listen =>
        {
            listen.Protocols = HttpProtocols.Http1;
            listen.Use(next => connection =>
            {
                connection.Features.Set(this);
                return next(connection);
            });
        }));
    }

    /// <summary>
    /// Answers all that comes in here, before any route is looked at. The pages are no routes themselves, so no other endpoint
    /// has them.
    /// </summary>
    public void Serve(WebApplication application, Node node, AgentService agent) => application.MapWhen(
        context => context.Features.Get<HttpEndpoint>() == this,
        branch => branch.Run(context => AnswerAsync(context, node, agent)));

    public void Dispose() => _socket.Dispose();

    private static Task AnswerAsync(HttpContext context, Node node, AgentService agent)
    {
        context.Response.Headers.CacheControl = "no-store";
        string? path = context.Request.Path.Value;
        if (path is not ("/metrics" or "/healthz" or "/readyz"))
            return AnswerAsync(context, StatusCodes.Status404NotFound, "there is nothing here; try /metrics, /healthz or /readyz");

        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            context.Response.Headers.Allow = "GET, HEAD";
            return AnswerAsync(context, StatusCodes.Status405MethodNotAllowed, "this can only be read");
        }

        return path switch
        {
            "/metrics" => AnswerMetricsAsync(context, node, agent),
            "/healthz" => AnswerProblemsAsync(context, [.. agent.Problems()]),
            _ => AnswerProblemsAsync(context, node.IsServing ? [] : ["the node is starting or stopping"]),
        };
    }

    private static async Task AnswerMetricsAsync(HttpContext context, Node node, AgentService agent)
    {
        context.Response.ContentType = PrometheusText.ContentType;
        NodeMetrics.Write(context.Response.BodyWriter, agent.Status(), node.Partitions, node.GroupShares);
        await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }

    private static Task AnswerProblemsAsync(HttpContext context, IReadOnlyList<string> problems) => problems.Count == 0
        ? AnswerAsync(context, StatusCodes.Status200OK, "ok")
        : AnswerAsync(context, StatusCodes.Status503ServiceUnavailable, string.Join('\n', problems));

    private static Task AnswerAsync(HttpContext context, int status, string text)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(text + "\n", Encoding.UTF8, context.RequestAborted);
    }
}
