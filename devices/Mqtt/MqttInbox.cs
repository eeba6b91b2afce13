using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>
/// The messages of one connection, between their arrival and their acknowledgement. They are handed to the sink as they
/// come, many at a time, and acknowledged in the order they came in ([MQTT-4.6.0-2]), each once it is durable.
/// </summary>
internal sealed class MqttInbox(
    MqttSourceOptions options,
    IRecordSink sink,
    TimeProvider time,
    SourceCounters counters,
    MqttPlaces places,
    string name,
    ILogger logger) : IDisposable
{
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(5);

    // Bounded by the places: none comes in without one.
    private readonly Channel<(MqttApplicationMessageReceivedEventArgs Message, Task Stored)> _inFlight =
        Channel.CreateUnbounded<(MqttApplicationMessageReceivedEventArgs, Task)>(
            new UnboundedChannelOptions { SingleReader = true });

    private readonly CancellationTokenSource _abandon = new();
    private volatile bool _closed;

    /// <summary>MQTTnet calls it for one message after another; it never waits. A closed inbox leaves it to the broker.</summary>
    public Task TakeAsync(MqttApplicationMessageReceivedEventArgs message)
    {
        message.AutoAcknowledge = false;
        if (_closed)
            return Task.CompletedTask;

        bool isWanted = options.StoreRetained || !message.ApplicationMessage.Retain;
        if (isWanted)
            counters.AddReceived();

        _inFlight.Writer.TryWrite((message, isWanted ? StoreAsync(message.ApplicationMessage) : Task.CompletedTask));
        return Task.CompletedTask;
    }

    /// <summary>Acknowledges until the inbox is closed.</summary>
    /// <exception cref="IOException">The sink failed; from then on nothing is acknowledged.</exception>
    public async Task AcknowledgeAsync()
    {
        await foreach ((MqttApplicationMessageReceivedEventArgs message, Task stored) in _inFlight.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            long size = message.ApplicationMessage.Payload.Length;
            try
            {
                await stored.ConfigureAwait(false);
            }
            catch (Exception error)
            {
                _closed = true;
                throw new IOException($"cannot store what {name} sent: {MqttMessages.OneLine(error)}", error);
            }

            try
            {
                await message.AcknowledgeAsync(_abandon.Token).ConfigureAwait(false);
            }
            catch (Exception error)
            {
                // The connection is lost, and told so elsewhere. The broker sends it again.
                logger.LogDebug("cannot acknowledge to {Name}: {Problem}", name, MqttMessages.OneLine(error));
            }

            places.Return(size);
        }
    }

    /// <summary>Takes nothing more; returns once the sink has let go of everything.</summary>
    /// <param name="acknowledging">The one call of <see cref="AcknowledgeAsync"/>.</param>
    /// <param name="grace">Whether to give what is in flight a moment to become durable.</param>
    public async Task CloseAsync(Task acknowledging, bool grace)
    {
        _closed = true;
        _inFlight.Writer.TryComplete();
        if (grace)
            await Task.WhenAny(acknowledging, Task.Delay(StopGrace, time)).ConfigureAwait(false);

        await _abandon.CancelAsync().ConfigureAwait(false);
        await acknowledging.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // Where it stopped at a failure, the rest still has to be waited for.
        while (_inFlight.Reader.TryRead(out var left))
            await left.Stored.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public void Dispose() => _abandon.Dispose();

    /// <summary>Fails only where the message must come again.</summary>
    private async Task StoreAsync(MqttApplicationMessage message)
    {
        MqttTopicRule? rule = MqttTopicRule.Find(options.Rules, message.Topic);
        if (rule is null)
        {
            // The broker remembers a filter that is no longer among the rules.
            Drop($"no rule for the MQTT topic '{message.Topic}'");
            return;
        }

        if (message.Payload.Length > options.MaxPayloadBytes)
        {
            // Its real size is not known: no more than this was read of it.
            Drop($"a payload of more than {options.MaxPayloadBytes} bytes; max-message takes larger ones");
            return;
        }

        try
        {
            SourceRecord record = MqttMessages.ToRecord(rule, message, time.GetUtcNow(), out string? problem);
            if (problem is not null)
                MqttMessages.CountIncomplete(counters, rule, problem, name, logger);

            await sink.AppendAsync(record, _abandon.Token).ConfigureAwait(false);
            counters.AddStored();
        }
        catch (RecordRejectedException rejected)
        {
            // Acknowledged all the same: it would only come back and be refused again, before all that follow.
            Drop(rejected.Message, rejected.Reason);
        }
        catch (Exception error) when (message.QualityOfServiceLevel == MqttQualityOfServiceLevel.AtMostOnce)
        {
            counters.AddDropped($"QoS 0 message lost: {MqttMessages.OneLine(error)}");
            throw;
        }
    }

    private void Drop(string message, DropReason reason = DropReason.Refused)
    {
        counters.AddDropped(reason, message);
        logger.LogWarning("{Name}: message dropped: {Reason}", name, message);
    }
}
