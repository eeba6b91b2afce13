using System.Text;
using System.Text.Json;

namespace EdgeStream.Devices.Mqtt;

/// <summary>How the node is, for Home Assistant.</summary>
/// <param name="Version">The program's.</param>
/// <param name="Problem">What makes it unhealthy, in one line; null where nothing does.</param>
/// <param name="Connected">Whether it has a link to its hub, to all of several; null where it has joined none.</param>
/// <param name="BacklogRecords">What a hub does not have yet.</param>
/// <param name="DiskBytes">What its data takes on the disk.</param>
public sealed record HomeAssistantState(string Version, string? Problem, bool? Connected, long BacklogRecords, long DiskBytes);

/// <summary>What Home Assistant is told: which entities there are, and the node's own state, as JSON.</summary>
internal sealed class HomeAssistantEntities(HomeAssistantOptions options)
{
    private string Id => $"edgestream_{options.Node}";

    public string AvailabilityTopic => $"{options.BaseTopic}/availability";

    public string StateTopic => $"{options.BaseTopic}/state";

    /// <summary>MQTT topic and payload of each entity's description.</summary>
    public IEnumerable<(string Topic, byte[] Payload)> Describe(string version)
    {
        yield return Own(version, "binary_sensor", "problem", "Problem", ("device_class", "problem"));
        yield return Own(version, "binary_sensor", "uplink", "Uplink", ("device_class", "connectivity"));
        yield return Own(version, "sensor", "backlog", "Backlog", ("unit_of_measurement", "records"), ("state_class", "measurement"));
        yield return Own(
            version, "sensor", "disk", "Disk used", ("device_class", "data_size"), ("unit_of_measurement", "B"), ("state_class", "measurement"));
        foreach (HomeAssistantSensor sensor in options.Sensors)
        {
            string name = sensor.Name ?? (sensor.Key is null ? sensor.Topic : $"{sensor.Topic} {sensor.Key}");
            string id = PlainOf(sensor.Key is null ? sensor.Topic : $"{sensor.Topic}_{sensor.Key}");
            yield return Describe(
                version, "sensor", $"topic_{id}", name, options.StateTopicOf(sensor),
                ("unit_of_measurement", sensor.Unit), ("device_class", sensor.DeviceClass), ("value_template", sensor.ValueTemplate));
        }
    }

    /// <summary>What the node's own entities take their values from.</summary>
    public static byte[] StateOf(HomeAssistantState state) => Json(writer =>
    {
        writer.WriteString("problem", state.Problem is null ? "OFF" : "ON");
        writer.WriteString("problem_text", state.Problem ?? "");
        writer.WriteString("uplink", state.Connected == true ? "ON" : "OFF");
        writer.WriteNumber("backlog", state.BacklogRecords);
        writer.WriteNumber("disk", state.DiskBytes);
    });

    private (string Topic, byte[] Payload) Own(string version, string kind, string id, string name, params (string, string?)[] more) => Describe(
        version, kind, id, name, StateTopic,
        [("value_template", $"{{{{ value_json.{id} }}}}"), ("entity_category", "diagnostic"), .. more]);

    private (string Topic, byte[] Payload) Describe(
        string version, string kind, string id, string name, string stateTopic, params (string Name, string? Value)[] more) =>
        ($"{options.Prefix}/{kind}/{Id}/{id}/config", Json(writer =>
        {
            writer.WriteString("name", name);
            writer.WriteString("unique_id", $"{Id}_{id}");
            writer.WriteString("state_topic", stateTopic);
            writer.WriteString("availability_topic", AvailabilityTopic);
            foreach ((string property, string? value) in more)
            {
                if (value is not null)
                    writer.WriteString(property, value);
            }

            writer.WriteStartObject("device");
            writer.WriteStartArray("identifiers");
            writer.WriteStringValue(Id);
            writer.WriteEndArray();
            writer.WriteString("name", $"EdgeStream {options.Node}");
            writer.WriteString("manufacturer", "EdgeStream");
            writer.WriteString("sw_version", version);
            writer.WriteEndObject();
        }));

    private static byte[] Json(Action<Utf8JsonWriter> write)
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(bytes))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        return bytes.ToArray();
    }

    /// <summary>What Home Assistant takes as part of an identifier; anything else by its bytes.</summary>
    private static string PlainOf(string text)
    {
        var plain = new StringBuilder();
        foreach (byte part in Encoding.UTF8.GetBytes(text))
        {
            if (char.IsAsciiLetterOrDigit((char)part) || part is (byte)'-' or (byte)'_')
                plain.Append((char)part);
            else
                plain.Append($"_{part:x2}");
        }

        return plain.ToString();
    }
}
