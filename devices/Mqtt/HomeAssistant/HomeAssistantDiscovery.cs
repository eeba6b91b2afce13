using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Makes this node appear in Home Assistant: its health, link, backlog and disk, and the topics that were chosen, which sinks of their
/// own bring there. All of it is retained, so that Home Assistant may come later; when the node goes, its last will says so.
/// </summary>
public sealed class HomeAssistantDiscovery : ISupervised
{
    private const string Online = "online";
    private const string Offline = "offline";

    // Often enough for somebody who looks at a screen. What has not changed is not sent.
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan GoodbyeTimeout = TimeSpan.FromSeconds(2);

    private readonly HomeAssistantOptions _options;
    private readonly HomeAssistantEntities _entities;
    private readonly EmbeddedBroker? _broker;
    private readonly Func<HomeAssistantState> _state;
    private readonly TimeProvider _time;
    private readonly RememberedTopics _described;
    private readonly ILogger<HomeAssistantDiscovery> _logger;

    /// <param name="options">How it appears.</param>
    /// <param name="broker">The node's own; not used where the options name another.</param>
    /// <param name="state">How the node is now.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told little.</param>
    /// <param name="files">Where it remembers which entities it has made; null for nowhere.</param>
    /// <exception cref="SourceConfigurationException">The options are not valid, or no broker is there.</exception>
    public HomeAssistantDiscovery(
        HomeAssistantOptions options, EmbeddedBroker? broker, Func<HomeAssistantState> state, TimeProvider time,
        ILogger<HomeAssistantDiscovery> logger, IDeviceFiles? files = null)
    {
        options.Validate();
        if (options.Broker is null && broker is null)
            throw new SourceConfigurationException("home assistant: there is no broker");

        _options = options;
        _entities = new HomeAssistantEntities(options);
        _broker = options.Broker is null ? broker : null;
        _state = state;
        _time = time;
        _described = new RememberedTopics(files, "entities", options.Broker?.Authority ?? "embedded", options.Broker?.ClientId ?? "", logger);
        _logger = logger;
        Name = $"home-assistant at {options.Broker?.Address ?? broker!.Name}";
    }

    public string Name { get; }

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        if (_broker is { } own)
        {
            await own.WaitUntilRunningAsync(cancellationToken).ConfigureAwait(false);
            await TellAsync(own.PublishAsync, running, cancellationToken).ConfigureAwait(false);
            return;
        }

        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        Task<string> lost = MqttConnection.WhenLost(client);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            MqttClientOptionsBuilder options = MqttConnection.Options(_options.Broker!).WithCleanStart()
                .WithWillTopic(_entities.AvailabilityTopic).WithWillPayload(Offline).WithWillRetain();
            await MqttConnection.ConnectAsync(client, _options.Broker!, options, Name, _time, cancellationToken).ConfigureAwait(false);
            Task telling = TellAsync(client.PublishAsync, running, stop.Token);
            if (await Task.WhenAny(lost, telling).ConfigureAwait(false) == lost)
            {
                await stop.CancelAsync().ConfigureAwait(false);
                await telling.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                throw new IOException($"lost {Name}: {await lost.ConfigureAwait(false)}");
            }

            await telling.ConfigureAwait(false);
        }
        finally
        {
            await MqttConnection.DisconnectAsync(client, Name, _logger).ConfigureAwait(false);
        }
    }

    /// <summary>Says what there is, and how it is until told to stop.</summary>
    private async Task TellAsync(Func<MqttApplicationMessage, CancellationToken, Task> publish, Action running, CancellationToken cancellationToken)
    {
        HomeAssistantState state = _state();
        try
        {
            (string Topic, byte[] Payload)[] entities = [.. _entities.Describe(state.Version)];
            string[] topics = [.. entities.Select(entity => entity.Topic)];
            IReadOnlyList<string> gone = _described.Add(topics);
            foreach ((string topic, byte[] payload) in entities)
                await SendAsync(topic, payload, cancellationToken).ConfigureAwait(false);

            // Without its description an entity is none.
            foreach (string topic in gone.Where(topic => !topic.AsSpan().ContainsAny('+', '#')))
                await SendAsync(topic, [], cancellationToken).ConfigureAwait(false);

            _described.Keep(topics);
            await SendAsync(_entities.StateTopic, HomeAssistantEntities.StateOf(state), cancellationToken).ConfigureAwait(false);
            await SendAsync(_entities.AvailabilityTopic, Ascii(Online), cancellationToken).ConfigureAwait(false);
            running();

            using var timer = new PeriodicTimer(Interval, _time);
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
            {
                HomeAssistantState now = _state();
                if (now != state)
                    await SendAsync(_entities.StateTopic, HomeAssistantEntities.StateOf(now), cancellationToken).ConfigureAwait(false);

                state = now;
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await SayGoodbyeAsync().ConfigureAwait(false);
        }

        async Task SendAsync(string topic, byte[] payload, CancellationToken token)
        {
            MqttApplicationMessage message = new MqttApplicationMessageBuilder()
                .WithTopic(topic).WithPayload(payload).WithRetainFlag().WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce).Build();
            try
            {
                await publish(message, token).ConfigureAwait(false);
                Counters.AddStored();
            }
            catch (Exception error) when (!token.IsCancellationRequested)
            {
                throw new IOException($"cannot publish '{topic}' for {Name}: {MqttMessages.OneLine(error)}", error);
            }
        }

        // An orderly end makes the broker forget the will.
        async Task SayGoodbyeAsync()
        {
            try
            {
                using var patience = new CancellationTokenSource(GoodbyeTimeout, _time);
                await SendAsync(_entities.AvailabilityTopic, Ascii(Offline), patience.Token).ConfigureAwait(false);
            }
            catch (Exception error)
            {
                _logger.LogDebug("leaving {Name}: {Problem}", Name, MqttMessages.OneLine(error));
            }
        }
    }

    private static byte[] Ascii(string text) => System.Text.Encoding.ASCII.GetBytes(text);
}
