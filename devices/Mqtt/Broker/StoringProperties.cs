using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// A message's user properties, with what becomes of the message: its storing has begun before MQTTnet has it. MQTTnet hands a packet's
/// list on as it is to who intercepts the message, and nothing else of the packet by which one could know it again.
/// </summary>
internal sealed class StoringProperties(IEnumerable<MqttUserProperty> sent, Task<StoreOutcome> storing) : List<MqttUserProperty>(sent)
{
    public Task<StoreOutcome> Storing => storing;
}
