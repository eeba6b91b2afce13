using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using MQTTnet.Protocol;
using MQTTnet.Server;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// An MQTT broker for devices that have none. Who publishes with QoS 1 or 2 gets its acknowledgement only when the record is
/// durable; then the message goes to those who have subscribed. Sessions and retained messages are kept in memory only.
/// </summary>
/// <remarks>
/// The library handles one message of a client after the other, so a client gets one message stored a sync; many clients share
/// each sync.
/// </remarks>
public sealed class EmbeddedBroker(
    EmbeddedBrokerOptions options, IRecordSink sink, TimeProvider time, ILogger<EmbeddedBroker> logger) : ISource
{
    private readonly EmbeddedBrokerOptions _options = options.Validated();

    public string Name { get; } = $"mqtt-broker {options.Listen}";

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using MqttServer server = new MqttServerFactory().CreateMqttServer(ServerOptions());
        server.ValidatingConnectionAsync += ValidateAsync;
        server.InterceptingPublishAsync += message => PublishAsync(message, cancellationToken);
        await StartAsync(server).ConfigureAwait(false);
        running();
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await server.StopAsync().ConfigureAwait(false);
    }

    private async Task StartAsync(MqttServer server)
    {
        try
        {
            await server.StartAsync().ConfigureAwait(false);
        }
        catch (SocketException error)
        {
            throw new IOException(
                error.SocketErrorCode == SocketError.AddressAlreadyInUse
                    ? $"{_options.Listen} is in use by another program; stop that one or choose another 'listen'"
                    : $"cannot listen on {_options.Listen}: {error.Message}",
                error);
        }
    }

    private MqttServerOptions ServerOptions()
    {
        bool isV6 = _options.Listen.AddressFamily == AddressFamily.InterNetworkV6;
        return new MqttServerOptionsBuilder()
            .WithDefaultEndpoint()
            .WithDefaultEndpointPort(_options.Listen.Port)
            .WithDefaultEndpointBoundIPAddress(isV6 ? IPAddress.None : _options.Listen.Address)
            .WithDefaultEndpointBoundIPV6Address(isV6 ? _options.Listen.Address : IPAddress.None)
            .WithPersistentSessions()
            .Build();
    }

    private Task ValidateAsync(ValidatingConnectionEventArgs connection)
    {
        if (_options.Users.Count == 0)
            return Task.CompletedTask;

        string expected = _options.Users.GetValueOrDefault(connection.UserName ?? "", "");
        bool known = expected.Length > 0
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(expected), connection.RawPassword ?? []);
        if (!known)
        {
            logger.LogWarning("{Name}: '{Client}' was refused: wrong user name or password", Name, connection.ClientId);
            connection.ReasonCode = MqttConnectReasonCode.BadUserNameOrPassword;
        }

        return Task.CompletedTask;
    }

    /// <summary>Awaited by the library before it acknowledges, and before it passes the message on.</summary>
    private async Task PublishAsync(InterceptingPublishEventArgs message, CancellationToken cancellationToken)
    {
        if (MqttTopicRule.Find(_options.Rules, message.ApplicationMessage.Topic) is not { } rule)
            return;

        Counters.AddReceived();
        long size = message.ApplicationMessage.Payload.Length;
        if (size > _options.MaxPayloadBytes)
        {
            Refuse(message, MqttPubAckReasonCode.QuotaExceeded, $"a payload of {size} bytes is larger than the {_options.MaxPayloadBytes} allowed");
            return;
        }

        try
        {
            SourceRecord record = MqttMessages.ToRecord(message.ApplicationMessage, rule, time.GetUtcNow());
            await sink.AppendAsync(record, cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            Refuse(message, MqttPubAckReasonCode.ImplementationSpecificError, rejected.Message);
        }
        catch (Exception error)
        {
            // Not stored, so not acknowledged: closing the connection is how MQTT says that. The device sends it again.
            if (!cancellationToken.IsCancellationRequested)
                logger.LogWarning("{Name}: a message of '{Client}' could not be stored: {Problem}", Name, message.ClientId, error.Message);

            message.ProcessPublish = false;
            message.CloseConnection = true;
        }
    }

    /// <summary>Says no for good. MQTT 5 has words for it; a 3.1.1 device gets its PUBACK, for it would only send it again.</summary>
    private void Refuse(InterceptingPublishEventArgs message, MqttPubAckReasonCode code, string reason)
    {
        logger.LogWarning(
            "{Name}: a message of '{Client}' on '{Topic}' was refused: {Reason}", Name, message.ClientId, message.ApplicationMessage.Topic, reason);
        Counters.AddDropped(reason);
        message.ProcessPublish = false;
        message.Response.ReasonCode = code;
        message.Response.ReasonString = reason;
    }
}
