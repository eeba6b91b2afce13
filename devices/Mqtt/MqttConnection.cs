using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Formatter;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Connects to a broker as a client and leaves it again, the same for sources and sinks.</summary>
internal static class MqttConnection
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(15);

    /// <summary>What the two have in common. The session is not said.</summary>
    public static MqttClientOptionsBuilder Options(MqttBrokerOptions options)
    {
        MqttClientOptionsBuilder builder = new MqttClientOptionsBuilder()
            .WithEndPoint(new DnsEndPoint(options.Broker.DnsSafeHost, options.Port))
            .WithClientId(options.ClientId)
            .WithProtocolVersion(options.Protocol == MqttProtocol.V5 ? MqttProtocolVersion.V500 : MqttProtocolVersion.V311)
            .WithKeepAlivePeriod(options.KeepAlive)
            .WithTryPrivate(false);

        if (options.Username is not null)
            builder.WithCredentials(options.Username, options.Password);

        if (options.Tls)
            builder.WithTlsOptions(tls => UseTls(tls, options));

        return builder;
    }

    /// <exception cref="IOException">It does not answer, or refuses; the message says why in one line.</exception>
    /// <exception cref="OperationCanceledException">Told to stop.</exception>
    public static async Task ConnectAsync(
        IMqttClient client, MqttClientOptions options, string name, TimeProvider time, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(ConnectTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        MqttClientConnectResult result;
        try
        {
            result = await client.ConnectAsync(options, either.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            string problem = timeout.IsCancellationRequested
                ? $"no answer in {ConnectTimeout.TotalSeconds} s"
                : MqttMessages.OneLine(error);
            throw new IOException($"cannot connect to {name}: {problem}", error);
        }
        catch (Exception error)
        {
            throw new OperationCanceledException("stopped while connecting", error, cancellationToken);
        }

        if (result.ResultCode != MqttClientConnectResultCode.Success)
            throw new IOException($"{name} refused the connection: {result.ResultCode}");
    }

    /// <summary>Completes with the reason when the connection is lost. To be called before it is made.</summary>
    public static Task<string> WhenLost(IMqttClient client)
    {
        var lost = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        client.DisconnectedAsync += gone =>
        {
            lost.TrySetResult(ReasonOf(gone));
            return Task.CompletedTask;
        };
        return lost.Task;
    }

    /// <summary>Says goodbye where there still is a connection.</summary>
    public static async Task DisconnectAsync(IMqttClient client, string name, ILogger logger)
    {
        try
        {
            if (client.IsConnected)
                await client.DisconnectAsync(new MqttClientDisconnectOptions(), CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            logger.LogDebug("leaving {Name}: {Problem}", name, MqttMessages.OneLine(error));
        }
    }

    private static string ReasonOf(MqttClientDisconnectedEventArgs gone)
    {
        if (gone.Exception is { } error)
            return MqttMessages.OneLine(error);

        return gone.Reason == MqttClientDisconnectReason.NormalDisconnection
            ? "the connection was closed"
            : $"the broker disconnected: {gone.Reason}";
    }

    private static void UseTls(MqttClientTlsOptionsBuilder tls, MqttBrokerOptions options)
    {
        tls.UseTls().WithTargetHost(options.Broker.DnsSafeHost);
        if (options.CaFile is null)
            return;

        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(options.CaFile);

        // A site's own authority rarely publishes revocations.
        tls.WithTrustChain(authorities).WithRevocationMode(X509RevocationMode.NoCheck);
    }
}
