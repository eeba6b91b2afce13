using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Takes messages from an MQTT broker. Each is acknowledged only once it is durable, so the broker keeps what a power cut
/// or a lost connection catches on its way, and delivers it again: at least once.
/// </summary>
public sealed class MqttClientSource : ISource
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(15);

    private readonly MqttSourceOptions _options;
    private readonly IRecordSink _sink;
    private readonly TimeProvider _time;
    private readonly ILogger<MqttClientSource> _logger;

    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public MqttClientSource(MqttSourceOptions options, IRecordSink sink, TimeProvider time, ILogger<MqttClientSource> logger)
    {
        options.Validate();
        _options = options;
        _sink = sink;
        _time = time;
        _logger = logger;
        Name = $"{options.Broker.Scheme}://{options.Broker.Host}:{options.Port}";
    }

    public string Name { get; }

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        // All of it is made anew for each connection: packet ids start again there, and an acknowledgement of an old one
        // would take away a message that was never stored.
        using var places = new SemaphoreSlim(_options.MaxInFlight);
        using var client = new MqttClientFactory().CreateMqttClient(new GatedChannelFactory(places));
        using var inbox = new MqttInbox(_options.Rules, _sink, _time, Counters, places, Name, _logger);
        var lost = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);

        client.ApplicationMessageReceivedAsync += inbox.TakeAsync;
        client.DisconnectedAsync += gone =>
        {
            lost.TrySetResult(ReasonOf(gone));
            return Task.CompletedTask;
        };

        Task acknowledging = inbox.AcknowledgeAsync();
        bool stopping = false;
        try
        {
            await ConnectAsync(client, cancellationToken).ConfigureAwait(false);
            await SubscribeAsync(client, cancellationToken).ConfigureAwait(false);
            running();

            Task ended = await Task.WhenAny(lost.Task, acknowledging).WaitAsync(cancellationToken).ConfigureAwait(false);
            await ended.ConfigureAwait(false);
            throw new IOException($"lost {Name}: {await lost.Task.ConfigureAwait(false)}");
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            stopping = true;
        }
        finally
        {
            await inbox.CloseAsync(acknowledging, stopping && client.IsConnected).ConfigureAwait(false);
            await DisconnectAsync(client).ConfigureAwait(false);
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

    private async Task ConnectAsync(IMqttClient client, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(ConnectTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        MqttClientConnectResult result;
        try
        {
            result = await client.ConnectAsync(ClientOptions(), either.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            string problem = timeout.IsCancellationRequested
                ? $"no answer in {ConnectTimeout.TotalSeconds} s"
                : MqttMessages.OneLine(error);
            throw new IOException($"cannot connect to {Name}: {problem}", error);
        }
        catch (Exception error)
        {
            throw new OperationCanceledException("stopped while connecting", error, cancellationToken);
        }

        if (result.ResultCode != MqttClientConnectResultCode.Success)
            throw new IOException($"{Name} refused the connection: {result.ResultCode}");
    }

    private async Task SubscribeAsync(IMqttClient client, CancellationToken cancellationToken)
    {
        var subscribe = new MqttClientSubscribeOptionsBuilder();
        foreach (string filter in _options.Rules.Select(rule => rule.Filter).Distinct(StringComparer.Ordinal))
        {
            // In MQTT 5 retained messages come once per session, not again at each connection.
            subscribe.WithTopicFilter(
                filter,
                MqttQualityOfServiceLevel.AtLeastOnce,
                retainHandling: _options.Protocol == MqttProtocol.V5
                    ? MqttRetainHandling.SendAtSubscribeIfNewSubscriptionOnly
                    : MqttRetainHandling.SendAtSubscribe);
        }

        MqttClientSubscribeResult result;
        try
        {
            result = await client.SubscribeAsync(subscribe.Build(), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            throw new IOException($"cannot subscribe at {Name}: {MqttMessages.OneLine(error)}", error);
        }

        foreach (MqttClientSubscribeResultItem item in result.Items)
        {
            if (item.ResultCode > MqttClientSubscribeResultCode.GrantedQoS2)
                throw new IOException($"{Name} refused the filter '{item.TopicFilter.Topic}': {item.ResultCode}");
        }
    }

    private MqttClientOptions ClientOptions()
    {
        bool v5 = _options.Protocol == MqttProtocol.V5;
        MqttClientOptionsBuilder builder = new MqttClientOptionsBuilder()
            .WithEndPoint(new DnsEndPoint(_options.Broker.DnsSafeHost, _options.Port))
            .WithClientId(_options.ClientId)
            .WithProtocolVersion(v5 ? MqttProtocolVersion.V500 : MqttProtocolVersion.V311)
            .WithCleanSession(false)
            .WithKeepAlivePeriod(_options.KeepAlive)
            .WithTryPrivate(false);

        // The broker keeps the session however long this node is away.
        if (v5)
            builder.WithSessionExpiryInterval(uint.MaxValue).WithReceiveMaximum((ushort)_options.MaxInFlight);

        if (_options.Username is not null)
            builder.WithCredentials(_options.Username, _options.Password);

        if (_options.Tls)
            builder.WithTlsOptions(UseTls);

        return builder.Build();
    }

    private void UseTls(MqttClientTlsOptionsBuilder tls)
    {
        tls.UseTls().WithTargetHost(_options.Broker.DnsSafeHost);
        if (_options.CaFile is null)
            return;

        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(_options.CaFile);

        // A site's own authority rarely publishes revocations.
        tls.WithTrustChain(authorities).WithRevocationMode(X509RevocationMode.NoCheck);
    }

    /// <summary>Says goodbye where there still is a connection; the session stays.</summary>
    private async Task DisconnectAsync(IMqttClient client)
    {
        try
        {
            if (client.IsConnected)
                await client.DisconnectAsync(new MqttClientDisconnectOptions(), CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            _logger.LogDebug("leaving {Name}: {Problem}", Name, MqttMessages.OneLine(error));
        }
    }
}
