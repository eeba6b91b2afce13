using System.Net;
using System.Net.Sockets;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What a monitoring system sees of a node, and what it does not get at.</summary>
public sealed class MonitoringTests : IDisposable
{
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(30) };
    private readonly TemporaryDirectory _directory = new();

    public void Dispose()
    {
        _http.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Metrics_show_what_was_produced_and_a_good_node_is_healthy_and_ready()
    {
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, "");
        await edge.StartAsync();
        Uri address = await edge.HttpAsync();
        await edge.CommandAsync("topic", "create", "t");
        await ProduceAsync(edge, "one\ntwo\nthree\n");

        HttpResponseMessage metrics = await _http.GetAsync(new Uri(address, "/metrics"));

        Assert.Equal("text/plain; version=0.0.4; charset=utf-8", metrics.Content.Headers.ContentType?.ToString());
        string[] lines = (await metrics.Content.ReadAsStringAsync()).Split('\n');
        Assert.Contains("edgestream_partition_durable_offset{topic=\"t\",partition=\"0\",geo=\"\"} 3", lines);
        Assert.Contains("edgestream_partition_log_start_offset{topic=\"t\",partition=\"0\",geo=\"\"} 0", lines);
        Assert.Contains("edgestream_problems 0", lines);
        Assert.Equal((HttpStatusCode.OK, "ok\n"), await GetAsync(address, "/healthz"));
        await Condition.WaitAsync(() => "ready", async () => await GetAsync(address, "/readyz") == (HttpStatusCode.OK, "ok\n"));

        await edge.CommandAsync("topic", "delete", "t", "--yes");
        Assert.DoesNotContain("topic=\"t\"", (await GetAsync(address, "/metrics")).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connections_that_nobody_ends_are_bounded_and_keep_nobody_from_the_socket()
    {
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, "");
        await edge.StartAsync();
        Uri address = await edge.HttpAsync();
        List<TcpClient> connections = [];
        try
        {
            do
                connections.Add(new TcpClient());
            while (connections.Count < 1000 && await IsServedAsync(connections[^1]));

            Assert.Equal(257, connections.Count);
            await edge.Process.WaitForLineAsync("the maximum number of concurrent connections has been reached");
            await edge.CommandAsync("status");

            connections[0].Dispose();
            await Condition.WaitAsync(() => "there is room again", async () =>
            {
                try
                {
                    return await GetAsync(address, "/healthz") == (HttpStatusCode.OK, "ok\n");
                }
                catch (HttpRequestException)
                {
                    return false;
                }
            });
        }
        finally
        {
            connections.ForEach(connection => connection.Dispose());
        }

        async Task<bool> IsServedAsync(TcpClient connection)
        {
            await connection.ConnectAsync(IPAddress.Parse(address.Host), address.Port);
            try
            {
                await connection.GetStream().WriteAsync("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"u8.ToArray());
                return await connection.GetStream().ReadAsync(new byte[1]) == 1;
            }
            catch (IOException)
            {
                return false;
            }
        }
    }

    [Fact]
    public async Task Problems_make_a_node_unhealthy_but_not_unready()
    {
        int nobody = FreePort.Take();
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, Sites.SubscribesTo(nobody));
        await edge.StartAsync();
        Uri address = await edge.HttpAsync();

        string text = "";
        await Condition.WaitAsync(
            () => $"the source that has no broker is told: {text}",
            async () =>
            {
                (HttpStatusCode status, text) = await GetAsync(address, "/healthz");
                return status == HttpStatusCode.ServiceUnavailable;
            });
        Assert.StartsWith("source ", text, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await GetAsync(address, "/readyz")).Status);
    }

    [Fact]
    public async Task Nothing_but_three_pages_is_reachable_over_http()
    {
        using NodeProcess hub = NodeProcess.Hub(_directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        Uri address = await hub.HttpAsync();

        foreach (string path in (string[])["/", "/metrics/", "/edgestream.v1.Agent/GetStatus", "/edgestream.v1.ControlPlane/GetTopology", "/nothing"])
        {
            Assert.Equal(HttpStatusCode.NotFound, (await GetAsync(address, path)).Status);
            using var call = new ByteArrayContent([0, 0, 0, 0, 0]);
            call.Headers.ContentType = new("application/grpc");
            Assert.Equal(HttpStatusCode.NotFound, (await _http.PostAsync(new Uri(address, path), call)).StatusCode);
        }

        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await _http.PostAsync(new Uri(address, "/metrics"), null)).StatusCode);
        using var http2 = new HttpRequestMessage(HttpMethod.Post, new Uri(address, "/edgestream.v1.Agent/GetStatus"))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        await Assert.ThrowsAsync<HttpRequestException>(() => _http.SendAsync(http2));
    }

    [Fact]
    public async Task Pages_are_not_reachable_where_grpc_is()
    {
        using NodeProcess hub = NodeProcess.Hub(_directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        string listening = (await hub.Process.WaitForLineAsync(@"listening on (https://\S+)")).Groups[1].Value;
        using var network = new HttpClient(new SocketsHttpHandler
        {
            // What is served is the question here, not by whom.
            SslOptions = { RemoteCertificateValidationCallback = (_, certificate, _, _) => certificate is not null },
        });
        using var local = new HttpClient(new SocketsHttpHandler { ConnectCallback = (_, token) => ConnectAsync(hub.Socket, token) });

        foreach ((HttpClient client, string address) in ((HttpClient, string)[])[(network, listening), (local, "http://localhost")])
        {
            foreach (string path in (string[])["/metrics", "/healthz", "/readyz"])
            {
                using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(new Uri(address), path))
                {
                    Version = HttpVersion.Version20,
                    VersionPolicy = HttpVersionPolicy.RequestVersionExact,
                };
                Assert.Equal(HttpStatusCode.NotFound, (await client.SendAsync(request)).StatusCode);
            }
        }
    }

    [Fact]
    public async Task Chosen_port_in_use_is_refused()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        string address = $"{taken.LocalEndpoint}";
        await File.WriteAllTextAsync(_directory.At("edge.toml"), $"[http]\nlisten = \"{address}\"");

        foreach (string[] arguments in (string[][])[["run", "--http", address], ["hub", "--http", address, "--listen", "127.0.0.1:0"], ["run", "-c", _directory.At("edge.toml")]])
        {
            (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(
                [.. arguments, "--data", _directory.At("data"), "--socket", _directory.At("s")]);

            Assert.NotEqual(0, exitCode);
            Assert.Equal($"edgestream: {address} is in use by another program; choose another address with http.listen or --http, or none", error.Trim());
        }
    }

    [Fact]
    public async Task Default_port_in_use_is_a_warning()
    {
        // Whoever has it: this test, a node of this machine, or another test.
        using var taken = new TcpListener(IPAddress.Loopback, 9440);
        try
        {
            taken.Start();
        }
        catch (SocketException)
        {
            // Somebody else.
        }

        using NodeProcess edge = NodeProcess.Edge(_directory.Path, "", http: null);
        await edge.StartAsync();

        await edge.Process.WaitForLineAsync("no metrics over HTTP: 127.0.0.1:9440 is in use by another program");
        await edge.CommandAsync("status");
    }

    [Fact]
    public async Task None_listens_nowhere()
    {
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, "[http]\nlisten = \"none\"", http: null);
        await edge.StartAsync();
        await edge.CommandAsync("status");

        Assert.DoesNotContain("listening on", edge.Process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("no metrics", edge.Process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Restarted_node_has_its_port_again_at_once()
    {
        string address = $"127.0.0.1:{FreePort.Take()}";
        using NodeProcess edge = NodeProcess.Edge(_directory.Path, "", http: address);
        for (int i = 0; i < 2; i++)
        {
            await edge.StartAsync();
            Assert.Equal((HttpStatusCode.OK, "ok\n"), await GetAsync(new Uri($"http://{address}"), "/healthz"));
            edge.Kill();
        }
    }

    private static async ValueTask<Stream> ConnectAsync(string socket, CancellationToken cancellationToken)
    {
        var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancellationToken);
        return new NetworkStream(connection, ownsSocket: true);
    }

    private static async Task ProduceAsync(NodeProcess node, string lines)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(["produce", "t", "--socket", node.Socket], lines);
        Assert.True(exitCode == 0, error);
    }

    private async Task<(HttpStatusCode Status, string Text)> GetAsync(Uri address, string path)
    {
        HttpResponseMessage response = await _http.GetAsync(new Uri(address, path));
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}
