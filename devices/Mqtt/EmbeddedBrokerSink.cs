using Microsoft.Extensions.Logging;
using MQTTnet;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Publishes a topic's records at the node's own broker, for programs beside it that speak MQTT.</summary>
/// <remarks>What it publishes is never stored again, whatever the broker's rules say: there is no way around in a circle.</remarks>
public sealed class EmbeddedBrokerSink : ISink
{
    private readonly MqttPublication _publication;
    private readonly MqttPublishTopic _topic;
    private readonly EmbeddedBroker _broker;
    private readonly IRecordFeed _feed;
    private readonly ILogger _logger;

    /// <exception cref="SourceConfigurationException">The options are not valid.</exception>
    public EmbeddedBrokerSink(MqttPublication publication, EmbeddedBroker broker, IRecordFeed feed, ILogger<EmbeddedBrokerSink> logger)
    {
        publication.Validate();
        _publication = publication;
        _topic = MqttPublishTopic.Parse(publication.Publish);
        _broker = broker;
        _feed = feed;
        Name = $"{broker.Name} as {publication.Publish}";
        _logger = new BoundedLogger(Name, broker.Time, logger);
    }

    public string Name { get; }

    public string Topic => _publication.Topic;

    public SourceCounters Counters { get; } = new();

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        await _broker.WaitUntilRunningAsync(cancellationToken).ConfigureAwait(false);
        running();
        await _feed.FollowAsync(this, PublishAsync, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask PublishAsync(SinkRecord record, CancellationToken cancellationToken)
    {
        if (!_topic.TryMake(_publication, record, out MqttApplicationMessage? message, out string? problem))
        {
            string reason = $"offset {record.Offset} of {record.Topic} was not published: {problem}";
            Counters.AddDropped(reason);
            _logger.LogWarning("{Name}: {Reason}; it was passed over", Name, reason);
            return;
        }

        await _broker.PublishAsync(message, cancellationToken).ConfigureAwait(false);
        Counters.AddStored();
    }
}
