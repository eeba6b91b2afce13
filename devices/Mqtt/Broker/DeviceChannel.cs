using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Adapter;
using MQTTnet.Exceptions;
using MQTTnet.Formatter;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// One device's packets. Tells the device what is taken here and sends it no more at once than it takes, refuses what is no MQTT though
/// MQTTnet would let it pass, and says in one line why a connection was ended. Once the device is let in, its messages are read ahead.
/// </summary>
internal sealed class DeviceChannel(
    IMqttChannelAdapter inner, int maxPacketBytes, MessageStore store, ReadBudget readBudget, string broker, ILogger logger) : IMqttChannelAdapter
{
    // As many as MQTTnet lets wait for a session.
    private const int MaxWaiting = 250;

    // MQTTnet allows 65,535, each for a topic of up to 64 KiB.
    private const ushort MaxTopicAliases = 32;

    private readonly SendQuota _quota = new(MaxWaiting);
    private readonly SemaphoreSlim _sending = new(1);
    private readonly Dictionary<ushort, string> _aliases = [];
    private string _device = $"a device at {inner.RemoteEndPoint}";
    private bool _isAdmitted;
    private ReadAhead? _ahead;

    public long BytesReceived => inner.BytesReceived;

    public long BytesSent => inner.BytesSent;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public MqttPacketFormatterAdapter PacketFormatterAdapter => inner.PacketFormatterAdapter;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

    public async Task<MqttPacket> ReceivePacketAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (_isAdmitted)
                _ahead ??= new ReadAhead(ReadAsync, BeginToStore, readBudget);

            return (await (_ahead?.NextAsync(cancellationToken) ?? ReadAsync(cancellationToken)).ConfigureAwait(false))!;
        }
        catch (Exception error) when (error.GetBaseException() is PacketTooLargeException tooLarge)
        {
            await EndAsync(MqttDisconnectReasonCode.PacketTooLarge, tooLarge).ConfigureAwait(false);
            throw;
        }
        catch (Exception error) when (error is MqttProtocolViolationException || error.GetBaseException() is InvalidDataException)
        {
            await EndAsync(MqttDisconnectReasonCode.MalformedPacket, error).ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc cref="ReadAhead.AnotherIsSettled"/>
    public bool AnotherIsSettled(ushort packetIdentifier) => _ahead?.AnotherIsSettled(packetIdentifier) ?? false;

    public void ResetStatistics() => inner.ResetStatistics();

    public Task SendPacketAsync(MqttPacket packet, CancellationToken cancellationToken)
    {
        if (packet is MqttConnAckPacket answer)
        {
            _isAdmitted = answer is { ReasonCode: MqttConnectReasonCode.Success, ReturnCode: MqttConnectReturnCode.ConnectionAccepted };
            if (PacketFormatterAdapter.ProtocolVersion == MqttProtocolVersion.V500)
            {
                answer.MaximumPacketSize = (uint)maxPacketBytes;
                answer.TopicAliasMaximum = MaxTopicAliases;
            }
        }

        if (packet is not MqttPublishPacket { QualityOfServiceLevel: > MqttQualityOfServiceLevel.AtMostOnce } message)
            return inner.SendPacketAsync(packet, cancellationToken);

        _quota.Add(message);
        return SendWaitingAsync(cancellationToken);
    }

    public void Dispose()
    {
        _ahead?.Dispose();
        inner.Dispose();
        _sending.Dispose();
    }

    /// <summary>One at a time, so that messages go out in order.</summary>
    private async Task SendWaitingAsync(CancellationToken cancellationToken)
    {
        await _sending.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            while (_quota.TryTake() is { } next)
                await inner.SendPacketAsync(next, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>What the device sends is read on meanwhile, whether it reads or not.</summary>
    private async Task SendWaitingInBackgroundAsync()
    {
        try
        {
            await SendWaitingAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception gone)
        {
            // The connection is at its end, which its reader sees.
            logger.LogDebug("{Device} could not be sent more: {Problem}", _device, MqttMessages.OneLine(gone));
        }
    }

    private async Task<MqttPacket?> ReadAsync(CancellationToken cancellationToken)
    {
        MqttPacket? packet = await inner.ReceivePacketAsync(cancellationToken).ConfigureAwait(false);
        Check(packet);
        if (packet is MqttPubAckPacket or MqttPubCompPacket or MqttPubRecPacket { ReasonCode: >= MqttPubRecReasonCode.UnspecifiedError } && _quota.Return())
            _ = SendWaitingInBackgroundAsync();

        return packet;
    }

    private Task<StoreOutcome>? BeginToStore(MqttPublishPacket publish, CancellationToken connection)
    {
        if (store.RuleFor(publish.Topic) is not { } rule)
            return null;

        var message = new MqttApplicationMessage
        {
            Topic = publish.Topic,
            Payload = publish.Payload,
            QualityOfServiceLevel = publish.QualityOfServiceLevel,
            Retain = publish.Retain,
            ContentType = publish.ContentType,
            UserProperties = publish.UserProperties,
        };
        return store.StoreAsync(rule, message, _device, connection);
    }

    private void Check(MqttPacket? packet)
    {
        switch (packet)
        {
            case MqttConnectPacket connect:
                // [MQTT-3.1.3-7]. The library does so for MQTT 5 only, where the device is told its name.
                if (connect is { ClientId: null or "", CleanSession: true } && PacketFormatterAdapter.ProtocolVersion != MqttProtocolVersion.V500)
                    connect.ClientId = $"auto-{Guid.NewGuid():N}";

                _device = $"'{connect.ClientId}' at {inner.RemoteEndPoint}";
                _quota.Limit(connect.ReceiveMaximum);
                if (connect.WillFlag)
                    CheckTopic(connect.WillTopic);

                break;

            case MqttPublishPacket publish:
                CheckPublish(publish);
                break;

            case MqttSubscribePacket subscribe:
                foreach (string filter in subscribe.TopicFilters.Select(filter => filter.Topic))
                {
                    if (MqttTopicRule.ProblemOf(filter, out _) is { } problem)
                        throw new MqttProtocolViolationException($"filter '{filter}': {problem}");
                }

                break;
        }
    }

    private void CheckPublish(MqttPublishPacket publish)
    {
        // [MQTT-2.2.1-3]: nobody could acknowledge it.
        if (publish is { QualityOfServiceLevel: > MqttQualityOfServiceLevel.AtMostOnce, PacketIdentifier: 0 })
            throw new MqttProtocolViolationException("a message to be acknowledged has no packet identifier");

        if (publish.Topic.Length > 0)
            CheckTopic(publish.Topic);
        else if (publish.TopicAlias == 0)
            throw new MqttProtocolViolationException("a message has neither a topic nor an alias of one");

        if (publish.TopicAlias != 0)
            ResolveAlias(publish);
    }

    /// <summary>Section 3.3.2.3.4 of MQTT 5. MQTTnet gets the topic alone.</summary>
    private void ResolveAlias(MqttPublishPacket publish)
    {
        if (publish.TopicAlias > MaxTopicAliases)
            throw new MqttProtocolViolationException($"a message has the topic alias {publish.TopicAlias}, and {MaxTopicAliases} are taken here");

        if (publish.Topic.Length > 0)
            _aliases[publish.TopicAlias] = publish.Topic;
        else
            publish.Topic = _aliases.GetValueOrDefault(publish.TopicAlias)
                ?? throw new MqttProtocolViolationException($"a message has the topic alias {publish.TopicAlias}, which stands for no topic yet");

        publish.TopicAlias = 0;
    }

    /// <summary>What is no UTF-8 arrives with replacement characters in its place, and would be stored under a topic that nobody meant.</summary>
    private static void CheckTopic(string topic)
    {
        if (topic.Contains('\uFFFD', StringComparison.Ordinal))
            throw new MqttProtocolViolationException("a topic is not valid UTF-8");

        if (topic.Contains('\0', StringComparison.Ordinal))
            throw new MqttProtocolViolationException("a topic has a null character in it");

        if (topic.AsSpan().ContainsAny('+', '#'))
            throw new MqttProtocolViolationException("a topic to publish to has + or # in it");
    }

    /// <summary>MQTT 5 can say why.</summary>
    private async Task EndAsync(MqttDisconnectReasonCode code, Exception error)
    {
        string reason = MqttMessages.OneLine(error);
        logger.LogWarning("{Name}: {Device} was disconnected: {Reason}", broker, _device, reason);
        if (PacketFormatterAdapter.ProtocolVersion != MqttProtocolVersion.V500)
            return;

        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(1));
            var goodbye = new MqttDisconnectPacket { ReasonCode = code, ReasonString = reason };
            await inner.SendPacketAsync(goodbye, patience.Token).ConfigureAwait(false);
        }
        catch (Exception gone)
        {
            logger.LogDebug("{Device} could not be told: {Problem}", _device, MqttMessages.OneLine(gone));
        }
    }
}
