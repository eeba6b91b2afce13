using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using MQTTnet.Adapter;
using MQTTnet.Diagnostics.Logger;
using MQTTnet.Formatter;
using MQTTnet.Implementations;
using MQTTnet.Server;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Lets devices in for MQTTnet's server, with TLS and without. It bounds how many there are and how large their packets may be, which
/// MQTTnet's own listener does not, and reads its certificate for each connection: a renewed one counts at once.
/// </summary>
internal sealed class MqttListener(
    EmbeddedBrokerOptions options, MessageStore store, Subscribers subscribers, DelayedWills wills, TimeProvider time, ILogger logger) : IMqttServerAdapter
{
    private const int Backlog = 100;

    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan AcceptRetry = TimeSpan.FromSeconds(1);

    // What all devices together may have sent beyond the one message each that is dealt with.
    private const int ReadAheadBytes = 2 * 1024 * 1024;

    private readonly ReadBudget _readAhead = new(ReadAheadBytes);
    private readonly List<Socket> _listening = [];
    private readonly CancellationTokenSource _stop = new();
    private MqttServerOptions _server = new();
    private int _connections;
    private int _isFull;

    /// <summary>The server's; gets each connection, and is done with it when it ends.</summary>
    public Func<IMqttChannelAdapter, Task>? ClientHandler { get; set; }

    /// <summary>Where it listens without TLS, with the port that was taken for port 0.</summary>
    public IPEndPoint? Bound { get; private set; }

    /// <summary>Where it listens with TLS.</summary>
    public IPEndPoint? TlsBound { get; private set; }

    public Task StartAsync(MqttServerOptions server, IMqttNetLogger mqttLogger)
    {
        _server = server;
        if (options.Listen is { } plain)
            Bound = Listen(plain, stream => Task.FromResult((stream, default(X509Certificate2))), mqttLogger);

        if (options.TlsListen is { } tls)
        {
            // What is wrong with the files is told now, and not at the first device.
            ServerOptions();
            TlsBound = Listen(tls, ShakeHandsAsync, mqttLogger);
        }

        return Task.CompletedTask;
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        foreach (Socket socket in _listening)
            socket.Dispose();
    }

    public void Dispose()
    {
        foreach (Socket socket in _listening)
            socket.Dispose();

        _stop.Dispose();
    }

    private IPEndPoint Listen(IPEndPoint where, Func<Stream, Task<(Stream, X509Certificate2?)>> secure, IMqttNetLogger mqttLogger)
    {
        // .NET sets SO_REUSEADDR on Linux, which lets a restarted node have its port back, and no second process share it.
        var socket = new Socket(where.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        _listening.Add(socket);
        try
        {
            socket.Bind(where);
            socket.Listen(Backlog);
        }
        catch (SocketException error)
        {
            throw new IOException($"cannot listen on {where}: {error.Message}", error);
        }

        _ = AcceptAsync(socket, secure, mqttLogger, _stop.Token);
        return (IPEndPoint)socket.LocalEndPoint!;
    }

    private async Task AcceptAsync(
        Socket listening, Func<Stream, Task<(Stream, X509Certificate2?)>> secure, IMqttNetLogger mqttLogger, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                Socket device = await listening.AcceptAsync(cancellationToken).ConfigureAwait(false);
                if (TryTakePlace(device))
                    _ = Task.Run(() => ServeAsync(device, secure, mqttLogger), CancellationToken.None);
                else
                    device.Dispose();
            }
            catch (Exception) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception error)
            {
                // One that went away while it waited, or no more file descriptors for the moment.
                logger.LogWarning("{Name}: a device could not be let in: {Problem}", options.Address, MqttMessages.OneLine(error));
                await Task.Delay(AcceptRetry, time, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private bool TryTakePlace(Socket device)
    {
        if (Interlocked.Increment(ref _connections) <= options.MaxConnections)
        {
            Volatile.Write(ref _isFull, 0);
            return true;
        }

        Interlocked.Decrement(ref _connections);

        // Told once each time that it gets full: those who are turned away come again and again.
        if (Interlocked.Exchange(ref _isFull, 1) == 0)
        {
            logger.LogWarning(
                "{Name}: {Device} was turned away: there are {Count} connections already; max-connections lets more in",
                options.Address, device.RemoteEndPoint, options.MaxConnections);
        }

        return false;
    }

    private async Task ServeAsync(Socket device, Func<Stream, Task<(Stream, X509Certificate2?)>> secure, IMqttNetLogger mqttLogger)
    {
        EndPoint? remote = null;
        try
        {
            remote = device.RemoteEndPoint;
            device.NoDelay = true;
            await using var raw = new NetworkStream(device, ownsSocket: true);
            (Stream stream, X509Certificate2? certificate) = await secure(raw).ConfigureAwait(false);
            await using Stream _ = stream;
            var tcp = new MqttTcpChannel(stream, device.LocalEndPoint, remote, certificate);
            var channel = new AcknowledgementGathering(new BoundedChannel(tcp, options.MaxPacketBytes));
            var formatter = new MqttPacketFormatterAdapter(new MqttBufferWriter(_server.WriterBufferSize, _server.WriterBufferSizeMax));
            using var adapter = new DeviceChannel(
                new MqttChannelAdapter(channel, formatter, mqttLogger), channel, options.MaxPacketBytes, store, subscribers, wills, _readAhead,
                options.Address, time, logger);
            await ClientHandler!(adapter).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            if (!_stop.IsCancellationRequested)
                logger.LogWarning("{Name}: the connection of a device at {Device} failed: {Problem}", options.Address, remote, MqttMessages.OneLine(error));
        }
        finally
        {
            device.Dispose();
            Interlocked.Decrement(ref _connections);
        }
    }

    /// <exception cref="IOException">The device does not speak TLS, or has no certificate that is good here.</exception>
    private async Task<(Stream Stream, X509Certificate2? Certificate)> ShakeHandsAsync(Stream raw)
    {
        string? distrust = null;
        SslServerAuthenticationOptions tls = ServerOptions();
        tls.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
        {
            if (tls.ClientCertificateRequired)
                distrust ??= PeerCertificate.ProblemOf(certificate, chain, errors, null, "client-ca-file", time.GetUtcNow());

            return distrust is null;
        };
        using var timeout = new CancellationTokenSource(HandshakeTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
        var secured = new SslStream(raw);
        try
        {
            await secured.AuthenticateAsServerAsync(tls, either.Token).ConfigureAwait(false);
            return (secured, secured.RemoteCertificate as X509Certificate2);
        }
        catch (Exception error)
        {
            await secured.DisposeAsync().ConfigureAwait(false);
            throw new IOException(distrust ?? (timeout.IsCancellationRequested ? "no TLS within 10 s" : MqttMessages.OneLine(error)));
        }
    }

    private SslServerAuthenticationOptions ServerOptions()
    {
        var tls = new SslServerAuthenticationOptions { ServerCertificateContext = PemFiles.ReadIdentity(options.CertFile!, options.KeyFile!) };
        if (options.ClientCaFile is null)
            return tls;

        tls.ClientCertificateRequired = true;
        tls.CertificateChainPolicy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        tls.CertificateChainPolicy.CustomTrustStore.AddRange(PemFiles.ReadAuthorities("client-ca-file", options.ClientCaFile));
        return tls;
    }
}
