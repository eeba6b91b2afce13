using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using MQTTnet.Protocol;
using MQTTnet.Server;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// An MQTT broker whose acknowledgement to the publishing device means <b>durable</b>: PUBACK (or PUBREC) is sent after the
/// sink has completed, and only then is the message passed on to local subscribers.
/// </summary>
/// <remarks>
/// One device's messages are stored one after another, those of different devices side by side. Messages that no rule
/// matches are passed on, not stored. Sessions and retained messages live in memory.
/// </remarks>
public sealed class EmbeddedBroker : ISource
{
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    private readonly EmbeddedBrokerOptions _options;
    private readonly IRecordSink _sink;
    private readonly TimeProvider _time;
    private readonly ILogger<EmbeddedBroker> _logger;
    private volatile IPEndPoint? _bound;

    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public EmbeddedBroker(EmbeddedBrokerOptions options, IRecordSink sink, TimeProvider time, ILogger<EmbeddedBroker> logger)
    {
        options.Validate();
        _options = options;
        _sink = sink;
        _time = time;
        _logger = logger;
        Name = $"mqtt-broker://{options.Listen}";
    }

    public string Name { get; }

    public SourceCounters Counters { get; } = new();

    /// <summary>Where it listens, with the port that was taken for port 0; null before it runs.</summary>
    public IPEndPoint? BoundEndpoint => _bound;

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        MqttServerOptions options = ServerOptions();
        using var abandon = new CancellationTokenSource();
        using MqttServer server = new MqttServerFactory().CreateMqttServer(options);
        var run = new Run(abandon.Token);

        server.ValidatingConnectionAsync += AdmitAsync;
        server.InterceptingPublishAsync += publish => ReceiveAsync(run, publish);
        try
        {
            await server.StartAsync().ConfigureAwait(false);
        }
        catch (Exception error)
        {
            throw new IOException($"cannot listen on {_options.Listen}: {MqttMessages.OneLine(error)}", error);
        }

        // MQTTnet writes the port that it got back into its options.
        _bound = new IPEndPoint(_options.Listen.Address, options.DefaultEndpointOptions.Port);
        running();

        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (cancellationToken.Register(() => stop.TrySetResult()))
            await stop.Task.ConfigureAwait(false);

        await Task.WhenAny(run.CloseAsync(), Task.Delay(StopGrace, _time, CancellationToken.None)).ConfigureAwait(false);
        await abandon.CancelAsync().ConfigureAwait(false);
        await run.CloseAsync().ConfigureAwait(false);
        await server.StopAsync(new MqttServerStopOptions()).ConfigureAwait(false);
        _bound = null;
    }

    private MqttServerOptions ServerOptions()
    {
        bool v6 = _options.Listen.AddressFamily == AddressFamily.InterNetworkV6;
        MqttServerOptions options = new MqttServerOptionsBuilder()
            .WithDefaultEndpoint()
            .WithDefaultEndpointPort(_options.Listen.Port)

            // IPAddress.None turns a listener off; IPv6None would not: it equals IPv6Any.
            .WithDefaultEndpointBoundIPAddress(v6 ? IPAddress.None : _options.Listen.Address)
            .WithDefaultEndpointBoundIPV6Address(v6 ? _options.Listen.Address : IPAddress.None)
            .Build();

        // With it, Linux would let a second process share the port, and half of the devices would talk to that.
        options.DefaultEndpointOptions.ReuseAddress = false;
        return options;
    }

    private Task AdmitAsync(ValidatingConnectionEventArgs connection)
    {
        if (_options.Users.Count > 0 && !IsUser(connection.UserName, connection.RawPassword))
            connection.ReasonCode = MqttConnectReasonCode.BadUserNameOrPassword;

        // [MQTT-3.1.3-6]: an MQTT 5 client may leave its identifier to the server. The library refuses a 3.1.1 client that does,
        // which the standard allows.
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
    private async Task ReceiveAsync(Run run, InterceptingPublishEventArgs publish)
    {
        if (!publish.ProcessPublish || MqttTopicRule.Find(_options.Rules, publish.ApplicationMessage.Topic) is not { } rule)
            return;

        if (!run.TryEnter())
        {
            Refuse(publish);
            return;
        }

        try
        {
            Counters.AddReceived();
            await StoreAsync(run, rule, publish).ConfigureAwait(false);
        }
        finally
        {
            run.Leave();
        }
    }

    private async Task StoreAsync(Run run, MqttTopicRule rule, InterceptingPublishEventArgs publish)
    {
        long size = publish.ApplicationMessage.Payload.Length;
        if (size > _options.MaxPayloadBytes)
        {
            Drop(publish, MqttPubAckReasonCode.QuotaExceeded, $"payload of {size} bytes is over the limit of {_options.MaxPayloadBytes}");
            return;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(run.Abandoned, publish.CancellationToken);
        try
        {
            SourceRecord record = MqttMessages.ToRecord(rule, publish.ApplicationMessage, _time.GetUtcNow(), out string? problem);
            if (problem is not null)
                MqttMessages.CountIncomplete(Counters, rule, problem, Name, _logger);

            await _sink.AppendAsync(record, either.Token).ConfigureAwait(false);
            Counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            Drop(publish, MqttPubAckReasonCode.ImplementationSpecificError, rejected.Message);
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            Refuse(publish);
        }
        catch (Exception error)
        {
            _logger.LogWarning("{Name}: cannot store what {Device} sent: {Problem}", Name, publish.ClientId, MqttMessages.OneLine(error));
            Refuse(publish);
        }
    }

    /// <summary>Without an acknowledgement the device keeps the message and sends it again when it is back.</summary>
    private static void Refuse(InterceptingPublishEventArgs publish)
    {
        publish.ProcessPublish = false;
        publish.CloseConnection = true;
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

    /// <summary>Counts the messages that are on their way to the sink.</summary>
    private sealed class Run(CancellationToken abandoned)
    {
        private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _lock = new();
        private int _inside;
        private bool _closed;

        public CancellationToken Abandoned => abandoned;

        public bool TryEnter()
        {
            lock (_lock)
            {
                if (_closed)
                    return false;

                _inside++;
                return true;
            }
        }

        public void Leave()
        {
            lock (_lock)
            {
                if (--_inside == 0 && _closed)
                    _empty.TrySetResult();
            }
        }

        /// <summary>Lets nothing more in; completes when it is empty.</summary>
        public Task CloseAsync()
        {
            lock (_lock)
            {
                _closed = true;
                if (_inside == 0)
                    _empty.TrySetResult();
            }

            return _empty.Task;
        }
    }
}
