using System.Collections;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using EdgeStream.Devices.Mqtt.Broker;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Diagnostics.Logger;
using MQTTnet.Packets;
using MQTTnet.Protocol;
using MQTTnet.Server;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// An MQTT broker whose acknowledgement to the publishing device means <b>durable</b>: PUBACK (or PUBREC) is sent after the
/// sink has completed, and only then is the message passed on to local subscribers.
/// </summary>
/// <remarks>
/// One device's messages are stored one after another, those of different devices side by side; while the sink waits, nothing more is
/// read from the device. Messages that no rule matches are passed on, not stored. Sessions and retained messages live in memory.
/// </remarks>
public sealed class EmbeddedBroker : ISource
{
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    // For CONNECT to arrive.
    private static readonly TimeSpan LoginTimeout = TimeSpan.FromSeconds(10);

    // How often MQTTnet looks for devices that have gone silent: it need not be exact, and wakes the processor.
    private static readonly TimeSpan KeepAliveCheck = TimeSpan.FromSeconds(5);

    // What local subscribers may find when they come; a device's last values, not a history.
    private const long MaxRetainedBytes = 16 * 1024 * 1024;

    private readonly EmbeddedBrokerOptions _options;
    private readonly IRecordSink _sink;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    // What the node itself publishes carries it, and nothing else can.
    private readonly IDictionary _own = new Hashtable();
    private volatile TaskCompletionSource _isRunning = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile MqttServer? _server;
    private volatile MqttListener? _listener;

    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public EmbeddedBroker(EmbeddedBrokerOptions options, IRecordSink sink, TimeProvider time, ILogger<EmbeddedBroker> logger)
    {
        options.Validate();
        _options = options;
        _sink = sink;
        _time = time;
        Name = options.Address;
        _logger = new BoundedLogger(Name, time, logger);
    }

    public string Name { get; }

    public SourceCounters Counters { get; } = new();

    /// <summary>Where it listens, with the port that was taken for port 0; null before it runs.</summary>
    public IPEndPoint? BoundEndpoint => _listener?.Bound;

    /// <summary>Where it listens with TLS; null before it runs.</summary>
    public IPEndPoint? BoundTlsEndpoint => _listener?.TlsBound;

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using var abandon = new CancellationTokenSource();
        using var listener = new MqttListener(_options, _time, _logger);
        using MqttServer server = new MqttServerFactory().CreateMqttServer(ServerOptions(), [listener], MqttNetNullLogger.Instance);
        var gate = new StoringGate(abandon.Token);

        server.ValidatingConnectionAsync += AdmitAsync;
        server.InterceptingInboundPacketAsync += NoteQosTwoAsync;
        server.InterceptingPublishAsync += publish => ReceiveAsync(gate, publish);
        var retained = new RetainedBounds(MaxRetainedBytes);
        server.InterceptingPublishAsync += publish => BoundRetained(retained, publish);
        server.ClientDisconnectedAsync += _ => ForgetSessionsAsync(server);
        await server.StartAsync().ConfigureAwait(false);
        (_server, _listener) = (server, listener);
        _isRunning.TrySetResult();
        running();

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancellationToken.Register(() => stop.TrySetResult()))
            await stop.Task.ConfigureAwait(false);

        (_server, _listener, _isRunning) = (null, null, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await Task.WhenAny(gate.CloseAsync(), Task.Delay(StopGrace, _time, CancellationToken.None)).ConfigureAwait(false);
        await abandon.CancelAsync().ConfigureAwait(false);
        await gate.CloseAsync().ConfigureAwait(false);
        await server.StopAsync(new MqttServerStopOptions()).ConfigureAwait(false);
    }

    internal TimeProvider Time => _time;

    internal Task WaitUntilRunningAsync(CancellationToken cancellationToken) => _isRunning.Task.WaitAsync(cancellationToken);

    /// <summary>Passes a message of the node itself to the subscribers. It is not stored, whatever the rules say: it comes from a log.</summary>
    /// <exception cref="IOException">The broker does not run.</exception>
    internal async Task PublishAsync(MqttApplicationMessage message, CancellationToken cancellationToken)
    {
        MqttServer server = _server ?? throw new IOException($"{Name} does not run");
        var own = new InjectedMqttApplicationMessage(message) { SenderClientId = "edgestream", CustomSessionItems = _own };
        await server.InjectApplicationMessage(own, cancellationToken).ConfigureAwait(false);
    }

    private static MqttServerOptions ServerOptions()
    {
        MqttServerOptions options = new MqttServerOptionsBuilder().WithPersistentSessions().WithDefaultCommunicationTimeout(LoginTimeout).Build();
        options.KeepAliveOptions.MonitorInterval = KeepAliveCheck;
        return options;
    }

    /// <summary>Passed on all the same, but not kept where there is no room.</summary>
    private Task BoundRetained(RetainedBounds retained, InterceptingPublishEventArgs publish)
    {
        MqttApplicationMessage message = publish.ApplicationMessage;
        if (publish.ProcessPublish && message.Retain && !retained.TryKeep(message.Topic, message.Payload.Length))
        {
            message.Retain = false;
            _logger.LogWarning(
                "{Name}: '{Topic}' of {Device} is not kept for later subscribers: what is kept fills {Bytes} bytes already; "
                + "an empty retained message to a topic makes room",
                Name, message.Topic, publish.ClientId, MaxRetainedBytes);
        }

        return Task.CompletedTask;
    }

    /// <summary>
    /// Lets go of the sessions that were left longest ago where there are too many: a device that calls itself something else each time
    /// leaves one behind each time.
    /// </summary>
    private async Task ForgetSessionsAsync(MqttServer server)
    {
        IList<MqttSessionStatus> sessions = await server.GetSessionsAsync().ConfigureAwait(false);
        int tooMany = sessions.Count - _options.MaxSessions;
        if (tooMany <= 0)
            return;

        IEnumerable<MqttSessionStatus> left = sessions.Where(session => session.DisconnectedTimestamp is not null)
            .OrderBy(session => session.DisconnectedTimestamp).Take(tooMany);
        foreach (MqttSessionStatus session in left.ToArray())
            await session.DeleteAsync().ConfigureAwait(false);
    }

    private static Task NoteQosTwoAsync(InterceptingPacketEventArgs packet)
    {
        if (packet.Packet is MqttPublishPacket { QualityOfServiceLevel: MqttQualityOfServiceLevel.ExactlyOnce } publish)
            QosTwoSession.Of(packet.SessionItems).Arrives(publish.PacketIdentifier);
        else if (packet.Packet is MqttPubRelPacket release)
            QosTwoSession.Of(packet.SessionItems).Release(release.PacketIdentifier);

        return Task.CompletedTask;
    }

    private Task AdmitAsync(ValidatingConnectionEventArgs connection)
    {
        if (_options.Users.Count > 0 && !IsUser(connection.UserName, connection.RawPassword))
            connection.ReasonCode = MqttConnectReasonCode.BadUserNameOrPassword;

        // [MQTT-3.1.3-6]: an MQTT 5 client may leave its identifier to the server.
        if (string.IsNullOrEmpty(connection.ClientId))
            connection.AssignedClientIdentifier = $"auto-{Guid.NewGuid():N}";

        return Task.CompletedTask;
    }

    private bool IsUser(string? user, byte[]? password) =>
        user is not null
        && password is not null
        && _options.Users.TryGetValue(user, out string? expected)
        && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(expected), password);

    /// <summary>MQTTnet acknowledges and passes the message on when this has completed.</summary>
    private async Task ReceiveAsync(StoringGate gate, InterceptingPublishEventArgs publish)
    {
        if (!publish.ProcessPublish
            || ReferenceEquals(publish.SessionItems, _own)
            || MqttTopicRule.Find(_options.Rules, publish.ApplicationMessage.Topic) is not { } rule)
        {
            return;
        }

        if (!gate.TryEnter())
        {
            Refuse(publish, "the node stops");
            return;
        }

        try
        {
            Counters.AddReceived();
            if (publish.ApplicationMessage.QualityOfServiceLevel == MqttQualityOfServiceLevel.ExactlyOnce)
                await StoreOnceAsync(gate, rule, publish).ConfigureAwait(false);
            else
                await StoreAsync(gate, rule, publish, publish.CancellationToken).ConfigureAwait(false);
        }
        finally
        {
            gate.Leave();
        }
    }

    private async Task StoreOnceAsync(StoringGate gate, MqttTopicRule rule, InterceptingPublishEventArgs publish)
    {
        // Not ended with the connection: whether it was stored has to be known when the device sends it again on the next.
        (bool isNew, bool isDone) = await QosTwoSession.Of(publish.SessionItems)
            .StoreOnceAsync(() => StoreAsync(gate, rule, publish, CancellationToken.None)).ConfigureAwait(false);
        if (isNew)
            return;

        publish.ProcessPublish = false;
        publish.CloseConnection = !isDone;
    }

    /// <summary>True where the device need not send the message again.</summary>
    private async Task<bool> StoreAsync(
        StoringGate gate, MqttTopicRule rule, InterceptingPublishEventArgs publish, CancellationToken cancellationToken)
    {
        long size = publish.ApplicationMessage.Payload.Length;
        if (size > _options.MaxPayloadBytes)
        {
            Drop(publish, MqttPubAckReasonCode.QuotaExceeded, $"payload of {size} bytes is over the limit of {_options.MaxPayloadBytes}");
            return true;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(gate.Abandoned, cancellationToken);
        try
        {
            SourceRecord record = MqttMessages.ToRecord(rule, publish.ApplicationMessage, _time.GetUtcNow(), out string? problem);
            if (problem is not null)
                MqttMessages.CountIncomplete(Counters, rule, problem, Name, _logger);

            await _sink.AppendAsync(record, either.Token).ConfigureAwait(false);
            Counters.AddStored();
            return true;
        }
        catch (RecordRejectedException rejected)
        {
            Drop(publish, MqttPubAckReasonCode.ImplementationSpecificError, rejected.Message);
            return true;
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            Refuse(publish, "the connection ended before it was stored");
            return false;
        }
        catch (Exception error)
        {
            string reason = MqttMessages.OneLine(error);
            _logger.LogWarning("{Name}: cannot store what {Device} sent: {Problem}", Name, publish.ClientId, reason);
            Refuse(publish, reason);
            return false;
        }
    }

    /// <summary>Without an acknowledgement the device keeps the message and sends it again when it is back; with QoS 0 it is lost.</summary>
    private void Refuse(InterceptingPublishEventArgs publish, string reason)
    {
        publish.ProcessPublish = false;
        publish.CloseConnection = true;
        if (publish.ApplicationMessage.QualityOfServiceLevel == MqttQualityOfServiceLevel.AtMostOnce)
            Counters.AddDropped($"QoS 0 message lost: {reason}");
    }

    /// <summary>Acknowledged, with a reason where the protocol has one: sending it again would not help.</summary>
    private void Drop(InterceptingPublishEventArgs publish, MqttPubAckReasonCode code, string reason)
    {
        publish.ProcessPublish = false;
        publish.Response.ReasonCode = code;
        publish.Response.ReasonString = reason;
        Counters.AddDropped(reason);
        _logger.LogWarning("{Name}: message of {Device} dropped: {Reason}", Name, publish.ClientId, reason);
    }
}
