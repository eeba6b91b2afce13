using System.Text;

namespace EdgeStream.Devices.Mqtt;

/// <summary>What an MQTT topic of Sparkplug B says: <c>spBv1.0/GROUP/TYPE/NODE[/DEVICE]</c>, or <c>spBv1.0/STATE/HOST</c>.</summary>
internal static class SparkplugTopic
{
    public const string Namespace = "spBv1.0";

    private static readonly string[] Names = ["sparkplug.group", "sparkplug.type", "sparkplug.node", "sparkplug.device"];

    /// <summary>Adds a header for each part that the topic has.</summary>
    public static void AddHeaders(string topic, List<KeyValuePair<string, ReadOnlyMemory<byte>>> headers)
    {
        string[] parts = topic.Split('/', Names.Length + 1)[1..];
        if (parts is ["STATE", _])
        {
            headers.Add(new("sparkplug.type", Encoding.UTF8.GetBytes(parts[0])));
            headers.Add(new("sparkplug.host", Encoding.UTF8.GetBytes(parts[1])));
            return;
        }

        foreach ((string name, string part) in Names.Zip(parts))
            headers.Add(new(name, Encoding.UTF8.GetBytes(part)));
    }
}
