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
/// A device's messages are stored in the order they came in; while the sink waits, no more is read from it than <see cref="ReadAhead"/>
/// allows. Messages that no rule matches are passed on, not stored. Sessions live in memory; retained messages are there again after a
/// restart.
/// </remarks>
public sealed class EmbeddedBroker : ISource
{
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    // For CONNECT to arrive.
    private static readonly TimeSpan LoginTimeout = TimeSpan.FromSeconds(10);

    // How often MQTTnet looks for devices that have gone silent: it need not be exact, and wakes the processor.
    private static readonly TimeSpan KeepAliveCheck = TimeSpan.FromSeconds(5);

    // Who publishes what comes from the node.
    private const string Own = "edgestream";

    private readonly EmbeddedBrokerOptions _options;
    private readonly IRecordSink _sink;
    private readonly TimeProvider _time;
    private readonly IDeviceFiles? _files;
    private readonly ILogger _logger;
    private volatile TaskCompletionSource _isRunning = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Subscribers? _subscribers;
    private volatile DelayedWills? _wills;
    private volatile MqttListener? _listener;

    /// <param name="options">How it works.</param>
    /// <param name="sink">Where messages are stored.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">For warnings.</param>
    /// <param name="files">Where retained messages outlive the node; null for nowhere.</param>
    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public EmbeddedBroker(
        EmbeddedBrokerOptions options, IRecordSink sink, TimeProvider time, ILogger<EmbeddedBroker> logger, IDeviceFiles? files = null)
    {
        options.Validate();
        _options = options;
        _sink = sink;
        _time = time;
        _files = files;
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
        var store = new MessageStore(_options, _sink, _time, Counters, _logger, abandon.Token);
        await using RetainedKeeper keeper = RetainedKeeper.Open(_files, Name, _time, _logger);
        var subscribers = new Subscribers(Name, _options.WaitingBytes, keeper.Messages, Counters, _time, _logger);
        using var wills = new DelayedWills((device, will) => PublishWillAsync(store, subscribers, device, will), _time);
        using var listener = new MqttListener(_options, store, subscribers, wills, _time, _logger);
        using MqttServer server = new MqttServerFactory().CreateMqttServer(ServerOptions(), [listener], MqttNetNullLogger.Instance);

        server.ValidatingConnectionAsync += AdmitAsync;
        server.InterceptingInboundPacketAsync += NoteQosTwoAsync;
        server.InterceptingPublishAsync += publish => ReceiveAsync(store, subscribers, publish);
        server.ClientDisconnectedAsync += _ => ForgetSessionsAsync(server);
        server.SessionDeletedAsync += session => EndSession(subscribers, wills, session.Id);
        await server.StartAsync().ConfigureAwait(false);
        keeper.Start(subscribers);
        (_subscribers, _wills, _listener) = (subscribers, wills, listener);
        _isRunning.TrySetResult();
        running();

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancellationToken.Register(() => stop.TrySetResult()))
            await stop.Task.ConfigureAwait(false);

        (_subscribers, _wills, _listener, _isRunning) = (null, null, null, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        await Task.WhenAny(store.CloseAsync(), Task.Delay(StopGrace, _time, CancellationToken.None)).ConfigureAwait(false);
        await abandon.CancelAsync().ConfigureAwait(false);
        await store.CloseAsync().ConfigureAwait(false);
        await server.StopAsync(new MqttServerStopOptions()).ConfigureAwait(false);
    }

    internal TimeProvider Time => _time;

    /// <summary>What waits for subscribers; 0 where it does not run.</summary>
    internal long WaitingBytes => _subscribers?.WaitingBytes ?? 0;

    /// <summary>How many wills wait for their delay; 0 where it does not run.</summary>
    internal int PendingWills => _wills?.Count ?? 0;

    internal Task WaitUntilRunningAsync(CancellationToken cancellationToken) => _isRunning.Task.WaitAsync(cancellationToken);

    /// <summary>Passes a message of the node itself to the subscribers. It is not stored, whatever the rules say: it comes from a log.</summary>
    /// <exception cref="IOException">The broker does not run.</exception>
    internal Task PublishAsync(MqttApplicationMessage message, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Subscribers subscribers = _subscribers ?? throw new IOException($"{Name} does not run");
        subscribers.Publish(message, Own);
        return Task.CompletedTask;
    }

    private static MqttServerOptions ServerOptions()
    {
        MqttServerOptions options = new MqttServerOptionsBuilder().WithPersistentSessions().WithDefaultCommunicationTimeout(LoginTimeout).Build();
        options.KeepAliveOptions.MonitorInterval = KeepAliveCheck;
        return options;
    }

    private static Task EndSession(Subscribers subscribers, DelayedWills wills, string clientId)
    {
        subscribers.Remove(clientId);
        wills.Return(clientId, isSessionPresent: false);
        return Task.CompletedTask;
    }

    private static async Task PublishWillAsync(MessageStore store, Subscribers subscribers, string clientId, MqttApplicationMessage will)
    {
        if (store.RuleFor(will.Topic) is not { } rule
            || (await store.StoreAsync(rule, will, $"'{clientId}'", store.Abandoned).ConfigureAwait(false)).IsStored)
        {
            subscribers.Publish(will, clientId);
        }
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

    /// <summary>A message of QoS 2; MQTTnet acknowledges it when this has completed.</summary>
    private static async Task ReceiveAsync(MessageStore store, Subscribers subscribers, InterceptingPublishEventArgs publish)
    {
        if (!publish.ProcessPublish)
            return;

        publish.ProcessPublish = false;
        if (!await IsNewAsync(store, publish).ConfigureAwait(false))
            return;

        if (!subscribers.Publish(publish.ApplicationMessage, publish.ClientId))
            publish.Response.ReasonCode = MqttPubAckReasonCode.NoMatchingSubscribers;
    }

    /// <summary>Whether it is to be passed on: stored, where a rule is for it, and not known from before.</summary>
    private static async Task<bool> IsNewAsync(MessageStore store, InterceptingPublishEventArgs publish)
    {
        MqttApplicationMessage message = publish.ApplicationMessage;
        MqttTopicRule? rule = store.RuleFor(message.Topic);

        // Not ended with the connection: whether it was stored has to be known when the device sends it again on the next.
        (bool isNew, StoreOutcome outcome) = await QosTwoSession.Of(publish.SessionItems)
            .StoreOnceAsync(() => rule is null
                ? Task.FromResult(StoreOutcome.Stored)
                : store.StoreAsync(rule, message, $"'{publish.ClientId}'", store.Abandoned)).ConfigureAwait(false);

        publish.CloseConnection = !outcome.IsSettled;
        if (isNew && outcome is { IsSettled: true, IsStored: false })
            (publish.Response.ReasonCode, publish.Response.ReasonString) = (outcome.Code, outcome.Reason);

        return isNew && outcome.IsStored;
    }
}
