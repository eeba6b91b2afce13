using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>What became of a message that a rule stores.</summary>
/// <param name="IsSettled">Whether the device need not send it again.</param>
/// <param name="Code">What an MQTT 5 device is told; success only of what is stored.</param>
/// <param name="Reason">Why it is not stored, in one line.</param>
internal readonly record struct StoreOutcome(bool IsSettled, MqttPubAckReasonCode Code, string? Reason)
{
    public static StoreOutcome Stored { get; } = new(true, MqttPubAckReasonCode.Success, null);

    public bool IsStored => Reason is null;

    /// <summary>Sending it again would not help.</summary>
    public static StoreOutcome Dropped(MqttPubAckReasonCode code, string reason) => new(true, code, reason);

    /// <summary>The device is to keep it, and to send it again on another connection.</summary>
    public static StoreOutcome Refused(string reason) => new(false, MqttPubAckReasonCode.UnspecifiedError, reason);
}

/// <summary>
/// Puts the messages of an embedded broker's devices into the log. Those of one device are stored in the order of the calls. Safe from
/// any thread.
/// </summary>
internal sealed class MessageStore(
    EmbeddedBrokerOptions options, IRecordSink sink, TimeProvider time, SourceCounters counters, ILogger logger, CancellationToken abandoned)
{
    private readonly StoringGate _gate = new();

    /// <summary>Nobody waits any more for what is not stored by then.</summary>
    public CancellationToken Abandoned => abandoned;

    private string Name => options.Address;

    /// <summary>The first rule for a message; null where it is passed on only.</summary>
    public MqttTopicRule? RuleFor(string topic) => MqttTopicRule.Find(options.Rules, topic);

    /// <summary>Takes nothing more; completes when nothing is on its way.</summary>
    public Task CloseAsync() => _gate.CloseAsync();

    /// <summary>Completes once the message is durable, or will not be. Never fails.</summary>
    /// <param name="rule">That which was found for it.</param>
    /// <param name="message">The message.</param>
    /// <param name="device">Whose it is, for messages.</param>
    /// <param name="end">Ends the wait: <see cref="Abandoned"/>, or one that is linked with it.</param>
    public async Task<StoreOutcome> StoreAsync(MqttTopicRule rule, MqttApplicationMessage message, string device, CancellationToken end)
    {
        counters.AddReceived();
        StoreOutcome outcome = StoreOutcome.Refused("the node stops");
        if (_gate.TryEnter())
        {
            try
            {
                if (message.Payload.Length <= options.MaxPayloadBytes)
                {
                    await sink.AppendAsync(ToRecord(rule, message), end).ConfigureAwait(false);
                    outcome = StoreOutcome.Stored;
                }
                else
                {
                    string reason = $"payload of {message.Payload.Length} bytes is over the limit of {options.MaxPayloadBytes}";
                    outcome = Drop(MqttPubAckReasonCode.QuotaExceeded, reason, device);
                }
            }
            catch (RecordRejectedException rejected)
            {
                outcome = Drop(MqttPubAckReasonCode.ImplementationSpecificError, rejected.Message, device);
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                outcome = StoreOutcome.Refused("the connection ended before it was stored");
            }
            catch (Exception error)
            {
                string reason = MqttMessages.OneLine(error);
                logger.LogWarning("{Name}: cannot store what {Device} sent: {Problem}", Name, device, reason);
                outcome = StoreOutcome.Refused(reason);
            }
            finally
            {
                _gate.Leave();
            }
        }

        if (outcome.IsStored)
            counters.AddStored();
        else if (outcome.IsSettled)
            counters.AddDropped(outcome.Reason!);
        else if (message.QualityOfServiceLevel == MqttQualityOfServiceLevel.AtMostOnce)
            counters.AddDropped($"QoS 0 message lost: {outcome.Reason}");

        return outcome;
    }

    private SourceRecord ToRecord(MqttTopicRule rule, MqttApplicationMessage message)
    {
        SourceRecord record = MqttMessages.ToRecord(rule, message, time.GetUtcNow(), out string? problem);
        if (problem is not null)
            MqttMessages.CountIncomplete(counters, rule, problem, Name, logger);

        return record;
    }

    private StoreOutcome Drop(MqttPubAckReasonCode code, string reason, string device)
    {
        logger.LogWarning("{Name}: message of {Device} dropped: {Reason}", Name, device, reason);
        return StoreOutcome.Dropped(code, reason);
    }
}
