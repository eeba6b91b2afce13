using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Takes messages from an MQTT broker. Each is acknowledged only once it is durable, so the broker keeps what a power cut
/// or a lost connection catches on its way, and delivers it again: at least once.
/// </summary>
public sealed class MqttClientSource : ISource
{
    private const string Online = "online";
    private const string Offline = "offline";

    private static readonly TimeSpan GoodbyeTimeout = TimeSpan.FromSeconds(2);

    private readonly MqttSourceOptions _options;
    private readonly IRecordSink _sink;
    private readonly TimeProvider _time;
    private readonly RememberedTopics _subscribed;
    private readonly ILogger _logger;

    /// <param name="options">What it takes, and from where.</param>
    /// <param name="sink">Where messages are stored.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">For warnings.</param>
    /// <param name="files">Where it remembers what the broker sends it; null for nowhere.</param>
    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public MqttClientSource(
        MqttSourceOptions options, IRecordSink sink, TimeProvider time, ILogger<MqttClientSource> logger, IDeviceFiles? files = null)
    {
        options.Validate();
        _options = options;
        _sink = sink;
        _time = time;
        Name = options.Address;
        _logger = new BoundedLogger(Name, time, logger);
        _subscribed = new RememberedTopics(files, "filters", options.Authority, options.ClientId, _logger);
    }

    public string Name { get; }

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        // All of it is made anew for each connection: packet ids start again there, and an acknowledgement of an old one
        // would take away a message that was never stored.
        using var places = new MqttPlaces(_options.MaxInFlight);
        using var client = new MqttClientFactory().CreateMqttClient(new GatedChannelFactory(places, _options.MaxPacketBytes));
        using var inbox = new MqttInbox(_options, _sink, _time, Counters, places, Name, _logger);
        Task<string> lost = MqttConnection.WhenLost(client);
        client.ApplicationMessageReceivedAsync += inbox.TakeAsync;
        Task acknowledging = inbox.AcknowledgeAsync();
        bool stopping = false;
        try
        {
            await MqttConnection.ConnectAsync(client, _options, ClientOptions(), Name, _time, cancellationToken).ConfigureAwait(false);
            await SubscribeAsync(client, cancellationToken).ConfigureAwait(false);
            await SayAsync(client, Online, cancellationToken).ConfigureAwait(false);
            running();

            Task ended = await Task.WhenAny(lost, acknowledging).WaitAsync(cancellationToken).ConfigureAwait(false);
            await ended.ConfigureAwait(false);
            throw new IOException($"lost {Name}: {await lost.ConfigureAwait(false)}");
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            stopping = true;
        }
        finally
        {
            await inbox.CloseAsync(acknowledging, stopping && client.IsConnected).ConfigureAwait(false);
            await SayOfflineAsync(client).ConfigureAwait(false);
            await MqttConnection.DisconnectAsync(client, Name, _logger).ConfigureAwait(false);
        }
    }

    /// <summary>The session remembers what it was told: what is among the rules no more has to be taken back, or it is sent for ever.</summary>
    private async Task SubscribeAsync(IMqttClient client, CancellationToken cancellationToken)
    {
        string[] filters = [.. _options.Rules.Select(rule => rule.Filter).Distinct(StringComparer.Ordinal)];
        IReadOnlyList<string> gone = _subscribed.Add(filters);
        await SubscribeAsync(client, filters, cancellationToken).ConfigureAwait(false);
        if (gone.Count > 0)
            await UnsubscribeAsync(client, gone, cancellationToken).ConfigureAwait(false);

        _subscribed.Keep(filters);
    }

    private async Task UnsubscribeAsync(IMqttClient client, IReadOnlyList<string> filters, CancellationToken cancellationToken)
    {
        var unsubscribe = new MqttClientUnsubscribeOptions();
        unsubscribe.TopicFilters.AddRange(filters);
        try
        {
            await client.UnsubscribeAsync(unsubscribe, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            throw new IOException($"cannot take back what was subscribed to at {Name}: {MqttMessages.OneLine(error)}", error);
        }
    }

    private async Task SubscribeAsync(IMqttClient client, IReadOnlyList<string> filters, CancellationToken cancellationToken)
    {
        var subscribe = new MqttClientSubscribeOptionsBuilder();
        foreach (string filter in filters)
            subscribe.WithTopicFilter(filter, MqttQualityOfServiceLevel.AtLeastOnce, retainHandling: RetainHandling());

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

    /// <summary>In MQTT 5 retained messages come once per session, not again at each connection. MQTT 3.1.1 has no choice.</summary>
    private MqttRetainHandling RetainHandling() => (_options.Protocol, _options.StoreRetained) switch
    {
        (MqttProtocol.V5, true) => MqttRetainHandling.SendAtSubscribeIfNewSubscriptionOnly,
        (MqttProtocol.V5, false) => MqttRetainHandling.DoNotSendOnSubscribe,
        _ => MqttRetainHandling.SendAtSubscribe,
    };

    /// <summary>Has the broker keep what this source is, where anybody wants to know.</summary>
    private async Task SayAsync(IMqttClient client, string status, CancellationToken cancellationToken)
    {
        if (_options.StatusTopic is not { } topic)
            return;

        // QoS 0: an acknowledgement would stand in line behind all that waits for the log.
        MqttApplicationMessage message = new MqttApplicationMessageBuilder().WithTopic(topic).WithPayload(status).WithRetainFlag().Build();
        try
        {
            await client.PublishAsync(message, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            throw new IOException($"cannot publish '{topic}' at {Name}: {MqttMessages.OneLine(error)}", error);
        }
    }

    /// <summary>An orderly goodbye makes the broker forget the will.</summary>
    private async Task SayOfflineAsync(IMqttClient client)
    {
        if (!client.IsConnected)
            return;

        try
        {
            using var patience = new CancellationTokenSource(GoodbyeTimeout, _time);
            await SayAsync(client, Offline, patience.Token).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            _logger.LogDebug("leaving {Name}: {Problem}", Name, MqttMessages.OneLine(error));
        }
    }

    private MqttClientOptionsBuilder ClientOptions()
    {
        MqttClientOptionsBuilder builder = MqttConnection.Options(_options).WithCleanSession(false);
        if (_options.StatusTopic is { } topic)
        {
            builder.WithWillTopic(topic).WithWillPayload(Offline).WithWillRetain()
                .WithWillQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce);
        }

        // The broker keeps the session however long this node is away.
        if (_options.Protocol == MqttProtocol.V5)
        {
            builder.WithSessionExpiryInterval(uint.MaxValue)
                .WithReceiveMaximum((ushort)_options.MaxInFlight)
                .WithMaximumPacketSize((uint)_options.MaxPacketBytes);
        }

        return builder;
    }
}
