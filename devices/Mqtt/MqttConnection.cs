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

    /// <summary>What the two have in common. The session is not said, and TLS is added when it connects.</summary>
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

        return builder;
    }

    /// <param name="client">Not connected yet.</param>
    /// <param name="broker">Where it connects to.</param>
    /// <param name="options">From <see cref="Options"/>, and what was added to them.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Tells it to stop.</param>
    /// <exception cref="IOException">It does not answer, or refuses; the message says why in one line.</exception>
    /// <exception cref="OperationCanceledException">Told to stop.</exception>
    public static async Task<MqttClientConnectResult> ConnectAsync(
        IMqttClient client, MqttBrokerOptions broker, MqttClientOptionsBuilder options, string name, TimeProvider time, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(ConnectTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        string? distrust = null;
        MqttClientConnectResult result;
        try
        {
            if (broker.Tls)
                options.WithTlsOptions(TlsOptions(broker, time, problem => distrust = problem));

            result = await client.ConnectAsync(options.Build(), either.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            string problem = distrust ?? (timeout.IsCancellationRequested
                ? $"no answer in {ConnectTimeout.TotalSeconds} s"
                : MqttMessages.OneLine(error));
            throw new IOException($"cannot connect to {name}: {problem}", error);
        }
        catch (Exception error)
        {
            throw new OperationCanceledException("stopped while connecting", error, cancellationToken);
        }

        return result.ResultCode == MqttClientConnectResultCode.Success
            ? result
            : throw new IOException($"{name} refused the connection: {result.ResultCode}{CureOf(result.ResultCode)}");
    }

    private static string CureOf(MqttClientConnectResultCode refusal) => refusal switch
    {
        MqttClientConnectResultCode.NotAuthorized or MqttClientConnectResultCode.BadUserNameOrPassword => "; look at username and password",
        MqttClientConnectResultCode.ClientIdentifierNotValid => "; choose another client-id",
        MqttClientConnectResultCode.UnsupportedProtocolVersion => "; protocol = \"3.1.1\" may help",
        _ => "",
    };

    private static MqttClientTlsOptions TlsOptions(MqttBrokerOptions broker, TimeProvider time, Action<string> distrusted)
    {
        string host = broker.Broker.DnsSafeHost;
        var tls = new MqttClientTlsOptionsBuilder().UseTls().WithTargetHost(host);

        // A site's own authority rarely publishes revocations.
        if (broker.CaFile is not null)
            tls.WithTrustChain(PemFiles.ReadAuthorities("ca-file", broker.CaFile)).WithRevocationMode(X509RevocationMode.NoCheck);

        if (broker is { CertFile: not null, KeyFile: not null })
            tls.WithClientCertificates([PemFiles.ReadIdentity(broker.CertFile, broker.KeyFile).TargetCertificate]);

        tls.WithCertificateValidationHandler(shown =>
        {
            string? problem = PeerCertificate.ProblemOf(shown.Certificate, shown.Chain, shown.SslPolicyErrors, host, "ca-file", time.GetUtcNow());
            if (problem is not null)
                distrusted(problem);

            return problem is null;
        });
        return tls.Build();
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

        return gone.Reason switch
        {
            MqttClientDisconnectReason.NormalDisconnection => "the connection was closed",
            MqttClientDisconnectReason.SessionTakenOver => "another client is connected under the same client-id; give each its own",
            _ => $"the broker disconnected: {gone.Reason}",
        };
    }
}
