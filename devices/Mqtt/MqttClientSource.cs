using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using MQTTnet;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Takes messages from a broker, with QoS 1 and a session that the broker keeps. A message is acknowledged (PUBACK) only when
/// its record is durable, and in the order of arrival, as MQTT demands [MQTT-4.6.0-2]; many are on their way to the log at once,
/// so that they share its syncs. What was not acknowledged the broker delivers again.
/// </summary>
/// <remarks>
/// One run is one connection with a client of its own: packet identifiers begin anew with each connection, so an
/// acknowledgement must never reach a later one. Connecting again is the supervisor's part.
/// </remarks>
public sealed class MqttClientSource(
    MqttSourceOptions options, IRecordSink sink, TimeProvider time, ILogger<MqttClientSource> logger) : ISource
{
    // How long what is on its way at a stop may take to become durable and be acknowledged.
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);

    private readonly MqttSourceOptions _options = options.Validated();

    /// <summary>A message, and the record that is being stored for it; none where no rule wants it.</summary>
    private readonly record struct Received(MqttApplicationMessageReceivedEventArgs Message, Task Stored);

    public string Name { get; } = $"mqtt {options.Broker.Host}:{options.Port}";

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var abandon = new CancellationTokenSource();
        using CancellationTokenRegistration stopping = cancellationToken.Register(() => abandon.CancelAfter(DrainTime));
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        Channel<Received> received = Channel.CreateBounded<Received>(new BoundedChannelOptions(_options.MaxInFlight) { SingleReader = true });
        string reason = "the connection was lost";
        client.ApplicationMessageReceivedAsync += message => ReceiveAsync(message, received.Writer, abandon.Token);
        client.DisconnectedAsync += lost =>
        {
            reason = lost.Exception?.GetBaseException().Message ?? $"the broker has closed the connection ({lost.Reason})";
            return end.CancelAsync();
        };

        await ConnectAsync(client, cancellationToken).ConfigureAwait(false);
        running();
        Task acknowledging = AcknowledgeAsync(received.Reader, abandon.Token);
        await Task.WhenAny(acknowledging, Task.Delay(Timeout.InfiniteTimeSpan, end.Token)).ConfigureAwait(false);

        received.Writer.TryComplete();
        if (!cancellationToken.IsCancellationRequested)
        {
            // Nothing can be acknowledged on a lost connection, and after a failed one nothing more may be.
            await abandon.CancelAsync().ConfigureAwait(false);
            client.Dispose();
            await acknowledging.ConfigureAwait(false);
            throw new IOException(reason);
        }

        await acknowledging.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await DisconnectAsync(client).ConfigureAwait(false);
    }

    private async Task ConnectAsync(IMqttClient client, CancellationToken cancellationToken)
    {
        MqttClientConnectResult connected = await client
            .ConnectAsync(MqttConnection.ClientOptions(_options), cancellationToken)
            .ConfigureAwait(false);
        if (connected.ResultCode != MqttClientConnectResultCode.Success)
            throw new IOException($"the broker refuses: {connected.ResultCode} {connected.ReasonString}".TrimEnd());

        MqttClientSubscribeResult subscribed = await client
            .SubscribeAsync(MqttConnection.Subscriptions(_options), cancellationToken)
            .ConfigureAwait(false);
        foreach (MqttClientSubscribeResultItem item in subscribed.Items)
        {
            if (item.ResultCode > MqttClientSubscribeResultCode.GrantedQoS2)
                throw new IOException($"the broker refuses the subscription to '{item.TopicFilter.Topic}': {item.ResultCode}");
        }
    }

    /// <summary>
    /// Called by the library for one message after the other. While it waits for a place no further message is read: that is
    /// the backpressure.
    /// </summary>
    private async Task ReceiveAsync(
        MqttApplicationMessageReceivedEventArgs message, ChannelWriter<Received> received, CancellationToken cancellationToken)
    {
        message.AutoAcknowledge = false;
        Counters.AddReceived();
        try
        {
            Task stored = StoreAsync(message.ApplicationMessage, cancellationToken);
            await received.WriteAsync(new Received(message, stored), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception error) when (error is OperationCanceledException or ChannelClosedException)
        {
            // The run is over: the message is not acknowledged, and comes again.
        }
    }

    private async Task StoreAsync(MqttApplicationMessage message, CancellationToken cancellationToken)
    {
        if (MqttTopicRule.Find(_options.Rules, message.Topic) is not { } rule)
        {
            // An older subscription that the session still has.
            Drop(message.Topic, "no rule matches its topic");
            return;
        }

        try
        {
            await sink.AppendAsync(MqttMessages.ToRecord(message, rule, time.GetUtcNow()), cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            // It would be refused each time it came again, and keep all behind it from coming.
            Drop(message.Topic, rejected.Message);
        }
    }

    private void Drop(string topic, string reason)
    {
        if (Counters.LastDrop != reason)
            logger.LogWarning("{Name}: a message on '{Topic}' was dropped: {Reason}", Name, topic, reason);

        Counters.AddDropped(reason);
    }

    /// <summary>Acknowledges in the order of arrival. Ends with the error of the first record that could not be stored.</summary>
    private static async Task AcknowledgeAsync(ChannelReader<Received> received, CancellationToken cancellationToken)
    {
        await foreach (Received next in received.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            await next.Stored.ConfigureAwait(false);
            await next.Message.AcknowledgeAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task DisconnectAsync(IMqttClient client)
    {
        try
        {
            await client.DisconnectAsync(new MqttClientDisconnectOptions(), CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            // Gone already; the session stays at the broker either way.
        }
    }
}
