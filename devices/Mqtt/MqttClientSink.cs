using Microsoft.Extensions.Logging;
using MQTTnet;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// Publishes records at an MQTT broker, each at least once (with QoS 0: handed to the connection). Where the broker does not answer
/// the same record is tried again, for as long as it has not expired.
/// </summary>
public sealed class MqttClientSink : ISink
{
    private static readonly TimeSpan PublishTimeout = TimeSpan.FromSeconds(30);

    private readonly MqttSinkOptions _options;
    private readonly MqttPublication _publication;
    private readonly MqttPublishTopic _topic;
    private readonly IRecordFeed _feed;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public MqttClientSink(MqttSinkOptions options, IRecordFeed feed, TimeProvider time, ILogger<MqttClientSink> logger)
    {
        options.Validate();
        _options = options;
        _publication = options.Publication;
        _topic = MqttPublishTopic.Parse(options.Publish);
        _feed = feed;
        _time = time;
        Name = $"{options.Address} as {options.ClientId}";
        _logger = new BoundedLogger(Name, time, logger);
    }

    public string Name { get; }

    public string Topic => _options.Topic;

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        Task<string> lost = MqttConnection.WhenLost(client);
        Task following = Task.CompletedTask;
        try
        {
            MqttClientOptionsBuilder options = MqttConnection.Options(_options).WithCleanStart();
            await MqttConnection.ConnectAsync(client, _options, options, Name, _time, cancellationToken).ConfigureAwait(false);
            running();
            following = _feed.FollowAsync(this, (record, token) => PublishAsync(client, record, token), stop.Token);
            await Task.WhenAny(lost, following).ConfigureAwait(false);
            if (!following.IsCompleted)
                throw new IOException($"lost {Name}: {await lost.ConfigureAwait(false)}");
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await MqttConnection.DisconnectAsync(client, Name, _logger).ConfigureAwait(false);
        }

        await following.ConfigureAwait(false);
    }

    private async ValueTask PublishAsync(IMqttClient client, SinkRecord record, CancellationToken cancellationToken)
    {
        if (!_topic.TryMake(_publication, record, out MqttApplicationMessage? message, out string? problem))
        {
            Refuse(record, problem);
            return;
        }

        MqttClientPublishResult result = await PublishAsync(client, message, cancellationToken).ConfigureAwait(false);
        if (result.IsSuccess)
        {
            Counters.AddStored();
            return;
        }

        // It would be refused each time, and keep all that follow from being published.
        if (result.ReasonCode is MqttClientPublishReasonCode.NotAuthorized or MqttClientPublishReasonCode.TopicNameInvalid
            or MqttClientPublishReasonCode.PayloadFormatInvalid)
        {
            Refuse(record, $"the broker refused it for '{message.Topic}': {result.ReasonCode}");
            return;
        }

        throw new IOException($"{Name} did not take a message for '{message.Topic}': {result.ReasonCode}");
    }

    private async Task<MqttClientPublishResult> PublishAsync(
        IMqttClient client, MqttApplicationMessage message, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(PublishTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            return await client.PublishAsync(message, either.Token).ConfigureAwait(false);
        }
        catch (Exception error) when (!cancellationToken.IsCancellationRequested)
        {
            string problem = timeout.IsCancellationRequested
                ? $"not acknowledged in {PublishTimeout.TotalSeconds} s"
                : MqttMessages.OneLine(error);
            throw new IOException($"cannot publish at {Name}: {problem}", error);
        }
    }

    private void Refuse(SinkRecord record, string problem)
    {
        string reason = $"offset {record.Offset} of {record.Topic} was not published: {problem}";
        Counters.AddDropped(reason);
        _logger.LogWarning("{Name}: {Reason}; it was passed over", Name, reason);
    }
}
