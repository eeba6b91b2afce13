using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace EdgeStream.Devices.Mqtt;

/// <summary>One field of a JSON document by its path, such as <c>device.id</c> or <c>readings.0.value</c>.</summary>
/// <remarks>
/// Read forward and only as far as the field: what stands behind it may be anything, and a second field of the same name does not
/// count. Nothing is kept of the document.
/// </remarks>
internal sealed class JsonField
{
    private readonly string _path;
    private readonly string[] _steps;

    private JsonField(string path)
    {
        _path = path;
        _steps = path.Split('.');
    }

    /// <summary>False where a step is empty.</summary>
    public static bool TryParse(string path, [NotNullWhen(true)] out JsonField? field)
    {
        field = path.Split('.').Any(step => step.Length == 0) ? null : new JsonField(path);
        return field is not null;
    }

    /// <summary>A string without its quotes; a number, <c>true</c> or <c>false</c> as it is written.</summary>
    /// <param name="document">UTF-8; anything at all.</param>
    /// <param name="value">The field's.</param>
    /// <param name="problem">Why there is none, in one line; the same for each document of its kind.</param>
    public bool TryRead(ReadOnlySpan<byte> document, out string value, [NotNullWhen(false)] out string? problem)
    {
        value = "";
        try
        {
            var reader = new Utf8JsonReader(document);
            problem = !reader.Read() || !TryFind(ref reader, _steps) ? $"its JSON has no field '{_path}'" : null;
            if (problem is not null)
                return false;

            switch (reader.TokenType)
            {
                case JsonTokenType.String:
                    value = reader.GetString()!;
                    return true;
                case JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False:
                    value = Encoding.UTF8.GetString(reader.ValueSpan);
                    return true;
                default:
                    problem = $"its JSON field '{_path}' is no single value";
                    return false;
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // The second: text that is no UTF-8.
            problem = "its payload is not JSON";
            return false;
        }
    }

    /// <summary>Moves the reader from a value to the field in it.</summary>
    private static bool TryFind(ref Utf8JsonReader reader, ReadOnlySpan<string> steps)
    {
        foreach (string step in steps)
        {
            bool found = reader.TokenType switch
            {
                JsonTokenType.StartObject => TryEnterObject(ref reader, step),
                JsonTokenType.StartArray => TryEnterArray(ref reader, step),
                _ => false,
            };
            if (!found)
                return false;
        }

        return true;
    }

    private static bool TryEnterObject(ref Utf8JsonReader reader, string name)
    {
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isIt = reader.ValueTextEquals(name);
            reader.Read();
            if (isIt)
                return true;

            reader.Skip();
        }

        return false;
    }

    private static bool TryEnterArray(ref Utf8JsonReader reader, string index)
    {
        if (!int.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out int left))
            return false;

        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (left-- == 0)
                return true;

            reader.Skip();
        }

        return false;
    }
}
