using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Unicode;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Adapter;
using MQTTnet.Exceptions;
using MQTTnet.Formatter;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// One device's packets. Tells the device what is taken here, refuses what is no MQTT though MQTTnet would let it pass, and says in one
/// line why a connection was ended. Once the device is let in, its messages are read ahead.
/// </summary>
/// <remarks>
/// Messages of QoS 0 and 1 are dealt with here, from reading to acknowledgement; MQTTnet's server does not see them. Those of QoS 2 are its
/// part, as it keeps the sessions.
///
/// What the device subscribes to, and what it is sent, is between it and <see cref="Subscribers"/>; so is its will. MQTTnet answers to
/// SUBSCRIBE and UNSUBSCRIBE, for filters that it does not see.
/// </remarks>
internal sealed class DeviceChannel(
    IMqttChannelAdapter inner, AcknowledgementGathering acknowledgements, int maxPacketBytes, MessageStore store, Subscribers subscribers,
    DelayedWills wills, ReadBudget readBudget, string broker, TimeProvider time, ILogger logger) : IMqttChannelAdapter, ISubscriberConnection
{
    // MQTTnet allows 65,535, each for a topic of up to 64 KiB.
    private const ushort MaxTopicAliases = 32;

    // For the last packet to a device. Others wait for it: MQTTnet lets nobody in meanwhile, and ends one connection after the other.
    private static readonly TimeSpan GoodbyePatience = TimeSpan.FromMilliseconds(250);

    // The shortest keep-alive is of 1 s, and MQTTnet ends a connection after one and a half.
    private static readonly TimeSpan LifeSignAfter = TimeSpan.FromMilliseconds(500);

    private readonly Dictionary<ushort, string> _aliases = [];
    private readonly ConcurrentDictionary<ushort, List<MqttSubscribeReasonCode>> _subscribed = [];
    private readonly ConcurrentDictionary<ushort, List<MqttUnsubscribeReasonCode>> _unsubscribed = [];
    private string _device = $"a device at {inner.RemoteEndPoint}";
    private string _clientId = "";
    private int _receiveMaximum;
    private uint _maximumPacketSize;
    private Will? _will;
    private uint _sessionExpiry;
    private ReadAhead? _ahead;
    private long _lastHandedOn;
    private volatile TaskCompletionSource? _received;
    private volatile Subscriber? _subscriber;
    private long _writingSince;
    private volatile bool _isEnded;
    private int _disposed;

    public long BytesReceived => inner.BytesReceived;

    public long BytesSent => inner.BytesSent;

    public X509Certificate2 ClientCertificate => inner.ClientCertificate;

    public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

    public EndPoint LocalEndPoint => inner.LocalEndPoint;

    public bool IsSecureConnection => inner.IsSecureConnection;

    public MqttPacketFormatterAdapter PacketFormatterAdapter => inner.PacketFormatterAdapter;

    public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

    public async Task DisconnectAsync(CancellationToken cancellationToken)
    {
        if (_isEnded)
            return;

        try
        {
            await inner.DisconnectAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (_isEnded)
        {
            // It was ended here meanwhile.
        }
    }

    public async Task<MqttPacket> ReceivePacketAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (_subscriber is not null)
                _ahead ??= new ReadAhead(ReadAsync, BeginToStore, readBudget, store.Abandoned);

            MqttPacket? packet = _ahead is null
                ? await ReadAsync(cancellationToken).ConfigureAwait(false)
                : await DealWithMessagesAsync(_ahead, cancellationToken).ConfigureAwait(false);
            ChangeSubscriptions(packet);
            return packet!;
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

    public void ResetStatistics() => inner.ResetStatistics();

    public async Task SendPacketAsync(MqttPacket packet, CancellationToken cancellationToken)
    {
        switch (packet)
        {
            case MqttConnAckPacket answer:
                Subscriber? subscriber = Admit(answer);
                await inner.SendPacketAsync(packet, cancellationToken).ConfigureAwait(false);
                if (subscriber is not null)
                    subscribers.Begin(subscriber, this);

                return;

            case MqttSubAckPacket answer when _subscribed.TryRemove(answer.PacketIdentifier, out List<MqttSubscribeReasonCode>? codes):
                answer.ReasonCodes = codes;
                break;

            case MqttDisconnectPacket:
                await SayGoodbyeAsync(packet, cancellationToken).ConfigureAwait(false);
                return;

            case MqttPubRecPacket:
                await inner.SendPacketAsync(packet, cancellationToken).ConfigureAwait(false);
                _received?.TrySetResult();
                return;

            case MqttUnsubAckPacket answer when _unsubscribed.TryRemove(answer.PacketIdentifier, out List<MqttUnsubscribeReasonCode>? codes):
                answer.ReasonCodes = codes;
                break;
        }

        await inner.SendPacketAsync(packet, cancellationToken).ConfigureAwait(false);
    }

    void ISubscriberConnection.Send() => _ = Task.Run(SendWaitingAsync);

    void ISubscriberConnection.Abort(string? reason) => _ = Task.Run(() =>
    {
        if (reason is not null)
            logger.LogWarning("{Name}: {Device} was disconnected: {Reason}", broker, _device, reason);

        End();
    });

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        _ahead?.Dispose();
        End();
        if (_subscriber is not { } subscriber)
            return;

        // Where the device is connected anew by now, its will is that of the new connection.
        bool isLost = subscribers.Close(subscriber, this);
        if (_will is not { } will || !isLost)
            return;

        wills.Add(_clientId, will.Message, TimeSpan.FromSeconds(Math.Min(will.Delay, _sessionExpiry)));

        // It may have come back meanwhile, and found no will to take back yet.
        if (subscribers.IsElsewhere(_clientId, this))
            wills.Return(_clientId, isSessionPresent: true);
    }

    /// <summary>Whoever reads or writes sees it.</summary>
    private void End()
    {
        _isEnded = true;
        inner.Dispose();
    }

    private Subscriber? Admit(MqttConnAckPacket answer)
    {
        bool isAdmitted = answer is { ReasonCode: MqttConnectReasonCode.Success, ReturnCode: MqttConnectReturnCode.ConnectionAccepted };
        if (PacketFormatterAdapter.ProtocolVersion == MqttProtocolVersion.V500)
        {
            answer.MaximumPacketSize = (uint)maxPacketBytes;
            answer.TopicAliasMaximum = MaxTopicAliases;
            answer.SharedSubscriptionAvailable = true;
        }

        if (!isAdmitted)
            return null;

        if (!string.IsNullOrEmpty(answer.AssignedClientIdentifier))
            _clientId = answer.AssignedClientIdentifier;

        // In this order: an old connection that ends now either sees this one, or its will is taken back here.
        _subscriber = subscribers.Open(_clientId, answer.IsSessionPresent, this, _receiveMaximum, _maximumPacketSize);
        wills.Return(_clientId, answer.IsSessionPresent);
        return _subscriber;
    }

    /// <summary>Waits no longer than that for a device that does not read, and not at all for one that has not read what came before.</summary>
    private async Task SayGoodbyeAsync(MqttPacket goodbye, CancellationToken cancellationToken)
    {
        long since = Volatile.Read(ref _writingSince);
        if (since != 0 && Environment.TickCount64 - since > GoodbyePatience.TotalMilliseconds)
        {
            End();
            return;
        }

        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(GoodbyePatience);
        try
        {
            await inner.SendPacketAsync(goodbye, patience.Token).ConfigureAwait(false);
        }
        catch (Exception) when (patience.IsCancellationRequested)
        {
            End();
        }
    }

    private async Task SendWaitingAsync()
    {
        try
        {
            while (_subscriber is { } subscriber && subscribers.Next(subscriber, this) is { } next)
            {
                Volatile.Write(ref _writingSince, Environment.TickCount64);
                await inner.SendPacketAsync(next, CancellationToken.None).ConfigureAwait(false);
                Volatile.Write(ref _writingSince, 0);
            }
        }
        catch (Exception gone)
        {
            // Mostly the connection is at its end, which its reader sees. Where it is not, nothing would be sent on it any more.
            logger.LogDebug("{Device} could not be sent more: {Problem}", _device, MqttMessages.OneLine(gone));
            End();
        }
    }

    /// <summary>Deals with the messages of QoS 0 and 1, until there is a packet that is MQTTnet's part; null ends the connection.</summary>
    private async ValueTask<MqttPacket?> DealWithMessagesAsync(ReadAhead ahead, CancellationToken cancellationToken)
    {
        while (true)
        {
            (MqttPacket? packet, MqttApplicationMessage? message, Task<StoreOutcome>? storing) = await ahead.NextAsync(cancellationToken).ConfigureAwait(false);

            // Acknowledged in the order of the messages, and MQTTnet answers at a time of its own.
            if (_received is { } received)
                await received.Task.WaitAsync(cancellationToken).ConfigureAwait(false);

            _received = null;
            if (message is null)
            {
                if (packet is MqttPublishPacket)
                    _received = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

                await acknowledgements.FlushAsync(cancellationToken).ConfigureAwait(false);
                _lastHandedOn = time.GetTimestamp();
                return packet;
            }

            StoreOutcome outcome = storing is null ? StoreOutcome.Stored : await storing.ConfigureAwait(false);
            if (!outcome.IsSettled)
            {
                await RefuseAsync(cancellationToken).ConfigureAwait(false);
                return null;
            }

            await PassOnAsync(message, ((MqttPublishPacket)packet!).PacketIdentifier, outcome, cancellationToken).ConfigureAwait(false);
            if (!ahead.IsNextDue)
                acknowledgements.FlushSoon();

            // MQTTnet takes a device for lost that it gets no packet from. This one means nothing to it.
            if (time.GetElapsedTime(_lastHandedOn) >= LifeSignAfter)
            {
                _lastHandedOn = time.GetTimestamp();
                return new MqttPubAckPacket();
            }
        }
    }

    /// <summary>The message is stored, or dropped for good: subscribers get it in the one case, and its device an answer in both.</summary>
    private async ValueTask PassOnAsync(MqttApplicationMessage message, ushort packetIdentifier, StoreOutcome outcome, CancellationToken cancellationToken)
    {
        MqttPubAckReasonCode code = outcome.Code;
        if (outcome.IsStored && !subscribers.Publish(message, _clientId))
            code = MqttPubAckReasonCode.NoMatchingSubscribers;

        if (message.QualityOfServiceLevel == MqttQualityOfServiceLevel.AtMostOnce)
            return;

        bool hasReasons = PacketFormatterAdapter.ProtocolVersion == MqttProtocolVersion.V500;
        if (!hasReasons || outcome.IsStored)
        {
            MqttPubAckReasonCode said = hasReasons ? code : MqttPubAckReasonCode.Success;
            await acknowledgements.AcknowledgeAsync(packetIdentifier, said, cancellationToken).ConfigureAwait(false);
            return;
        }

        var answer = new MqttPubAckPacket { PacketIdentifier = packetIdentifier, ReasonCode = code, ReasonString = outcome.Reason };
        await inner.SendPacketAsync(answer, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The device is to send again what could not be stored, and nothing behind it is acknowledged; what is before it is stored.</summary>
    private async ValueTask RefuseAsync(CancellationToken cancellationToken)
    {
        await acknowledgements.FlushAsync(cancellationToken).ConfigureAwait(false);
        if (PacketFormatterAdapter.ProtocolVersion == MqttProtocolVersion.V500)
            await SayGoodbyeAsync(new MqttDisconnectPacket { ReasonCode = MqttDisconnectReasonCode.UnspecifiedError }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>In the order in which the device asks, behind the messages before. MQTTnet gets what is left: a packet to answer to.</summary>
    private void ChangeSubscriptions(MqttPacket? packet)
    {
        if (_subscriber is not { } subscriber)
            return;

        if (packet is MqttSubscribePacket subscribe)
        {
            List<MqttSubscribeReasonCode> codes = subscribers.Subscribe(subscriber, subscribe);
            _subscribed[subscribe.PacketIdentifier] = PacketFormatterAdapter.ProtocolVersion == MqttProtocolVersion.V500
                ? codes
                : [.. codes.Select(code => code > MqttSubscribeReasonCode.GrantedQoS2 ? MqttSubscribeReasonCode.UnspecifiedError : code)];
            subscribe.TopicFilters.Clear();
        }
        else if (packet is MqttUnsubscribePacket unsubscribe)
        {
            _unsubscribed[unsubscribe.PacketIdentifier] = subscribers.Unsubscribe(subscriber, unsubscribe);
            unsubscribe.TopicFilters.Clear();
        }
    }

    private async Task<MqttPacket?> ReadAsync(CancellationToken cancellationToken)
    {
        MqttPacket? packet = await inner.ReceivePacketAsync(cancellationToken).ConfigureAwait(false);
        Check(packet);
        if (_subscriber is not { } subscriber)
            return packet;

        switch (packet)
        {
            case MqttPubAckPacket or MqttPubCompPacket or MqttPubRecPacket { ReasonCode: >= MqttPubRecReasonCode.UnspecifiedError }:
                subscribers.Acknowledge(subscriber, ((MqttPacketWithIdentifier)packet).PacketIdentifier);
                break;

            case MqttPubRecPacket received:
                subscribers.Receive(subscriber, received.PacketIdentifier);
                break;

            case MqttDisconnectPacket goodbye:
                if (goodbye.ReasonCode != MqttDisconnectReasonCode.DisconnectWithWillMessage)
                    _will = null;

                if (goodbye.SessionExpiryInterval != 0)
                    _sessionExpiry = goodbye.SessionExpiryInterval;

                break;
        }

        return packet;
    }

    private Task<StoreOutcome>? BeginToStore(MqttApplicationMessage message, CancellationToken connection) =>
        store.RuleFor(message.Topic) is { } rule ? store.StoreAsync(rule, message, _device, connection) : null;

    private void Check(MqttPacket? packet)
    {
        switch (packet)
        {
            case MqttConnectPacket connect:
                // [MQTT-3.1.3-7]. The library does so for MQTT 5 only, where the device is told its name.
                if (connect is { ClientId: null or "", CleanSession: true } && PacketFormatterAdapter.ProtocolVersion != MqttProtocolVersion.V500)
                    connect.ClientId = $"auto-{Guid.NewGuid():N}";

                _device = $"'{connect.ClientId}' at {inner.RemoteEndPoint}";
                (_clientId, _sessionExpiry) = (connect.ClientId ?? "", connect.SessionExpiryInterval);
                (_receiveMaximum, _maximumPacketSize) = (connect.ReceiveMaximum, connect.MaximumPacketSize);
                if (connect.WillFlag)
                {
                    CheckTopic(connect.WillTopic);
                    CheckProperties(connect.WillContentType, connect.WillResponseTopic, connect.WillUserProperties);
                    _will = Will.Of(connect);
                    connect.WillFlag = false;
                }

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

                // [MQTT-3.8.3-4].
                if (subscribe.TopicFilters.Any(filter => filter.NoLocal && filter.Topic.StartsWith("$share/", StringComparison.Ordinal)))
                    throw new MqttProtocolViolationException("a shared subscription cannot leave out what the subscriber publishes itself");

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

        CheckProperties(publish.ContentType, publish.ResponseTopic, publish.UserProperties);
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
        CheckText("a topic", topic);
        if (topic.AsSpan().ContainsAny('+', '#'))
            throw new MqttProtocolViolationException("a topic to publish to has + or # in it");
    }

    /// <summary>Replacement characters take up to three times the bytes that came: what subscribers are sent could be too long to be sent.</summary>
    private static void CheckProperties(string? contentType, string? responseTopic, List<MqttUserProperty>? properties)
    {
        CheckText("a content type", contentType);
        CheckText("a response topic", responseTopic);
        foreach (MqttUserProperty property in properties ?? [])
        {
            CheckText("the name of a user property", property.Name);
            if (!Utf8.IsValid(property.ValueBuffer.Span))
                throw new MqttProtocolViolationException("the value of a user property is not valid UTF-8");
        }
    }

    private static void CheckText(string what, string? text)
    {
        if (text is null)
            return;

        if (text.Contains('\uFFFD', StringComparison.Ordinal))
            throw new MqttProtocolViolationException($"{what} is not valid UTF-8");

        if (text.Contains('\0', StringComparison.Ordinal))
            throw new MqttProtocolViolationException($"{what} has a null character in it");
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
