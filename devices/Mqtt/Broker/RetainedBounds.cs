namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Bounds what the broker keeps for later subscribers: MQTTnet keeps all of it in memory, and a device may think of ever new topics.
/// Safe from any thread.
/// </summary>
internal sealed class RetainedBounds(long maxBytes)
{
    // What a message takes beside topic and payload.
    private const int Overhead = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, long> _sizes = new(StringComparer.Ordinal);
    private long _bytes;

    /// <summary>Whether there is room for this as what a topic retains; an empty payload takes away what it had.</summary>
    public bool TryKeep(string topic, long payloadBytes)
    {
        lock (_lock)
        {
            long known = _sizes.GetValueOrDefault(topic);
            if (payloadBytes == 0)
            {
                _sizes.Remove(topic);
                _bytes -= known;
                return true;
            }

            long size = Overhead + (2L * topic.Length) + payloadBytes;
            if (_bytes - known + size > maxBytes)
                return false;

            _sizes[topic] = size;
            _bytes += size - known;
            return true;
        }
    }
}
