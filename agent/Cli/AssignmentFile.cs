using System.Text.Json;

namespace EdgeStream.Agent.Cli;

/// <summary>
/// Which SPU is to lead each partition of a new topic, by the partition's number: <c>{"partitions":[{"spu":1},{"spu":2}]}</c>.
/// </summary>
internal static class AssignmentFile
{
    /// <summary>The SPUs' ids.</summary>
    /// <exception cref="CommandException">The file cannot be read, or is something else; the message names it and the entry.</exception>
    public static IReadOnlyList<int> Read(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return Parse(document.RootElement, path);
        }
        catch (JsonException error)
        {
            throw new CommandException($"'{path}' is no JSON: {error.Message}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"'{path}' cannot be read: {error.Message}");
        }
    }

    private static int[] Parse(JsonElement root, string path)
    {
        if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("partitions", out JsonElement partitions)
            || partitions.ValueKind != JsonValueKind.Array || partitions.GetArrayLength() == 0)
        {
            throw new CommandException($"'{path}' names no partitions; write for instance {{\"partitions\":[{{\"spu\":1}},{{\"spu\":2}}]}}");
        }

        // Only this in each: what else somebody writes there would be left out unsaid.
        return
        [
            .. partitions.EnumerateArray().Select((entry, number) =>
                entry.ValueKind == JsonValueKind.Object && entry.EnumerateObject().Count() == 1
                && entry.TryGetProperty("spu", out JsonElement spu) && spu.ValueKind == JsonValueKind.Number && spu.TryGetInt32(out int id) && id >= 0
                    ? id
                    : throw new CommandException($"'{path}': partition {number} is {entry.GetRawText()}; write the id of its SPU, for instance {{\"spu\":1}}")),
        ];
    }
}
