using EdgeStream.Devices.Gpio;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads what GPIO sources and sinks have in common: which line they are about.</summary>
internal static class GpioReader
{
    /// <summary>A chip by number, name, path or label; null for a simulated one.</summary>
    public static string? ReadChip(TomlSection section)
    {
        if (!section.IsString("chip"))
            return $"gpiochip{section.Int("chip", 0, 255) ?? 0}";

        string chip = section.RequiredString("chip");

        // So that two ways to write one chip are seen to be one.
        return chip == "simulated" ? null : chip.StartsWith("/dev/gpiochip", StringComparison.Ordinal) ? chip["/dev/".Length..] : chip;
    }

    /// <summary>A line by number or, in quotes, by name.</summary>
    public static LineId ReadLine(TomlSection section)
    {
        if (!section.IsString("line"))
            return section.Int("line", 0, 1023) ?? throw section.Error("line", "is missing");

        string name = section.RequiredString("line");
        return name.All(char.IsAsciiDigit)
            ? throw section.Error("line", $"'{name}' is no name; a number stands without quotes, a name is for instance \"GPIO17\"")
            : LineId.FromName(name);
    }

    /// <summary>A line has one owner, as the kernel sees it too.</summary>
    public static void CheckLines(ConfigurationPlaces places, AgentConfiguration configuration)
    {
        foreach (var same in places.InOrder<object>([.. configuration.GpioLines, .. configuration.GpioSinks]).GroupBy(LineOf))
        {
            if (same.Take(2).ToArray() is [var first, var second])
            {
                throw places.Error(
                    second, "line",
                    $"line {same.Key.Line} of {same.Key.Chip ?? "the simulated chip"} is wanted by {UserOf(first)} in {places.Of(first, "line")} "
                    + $"and by {UserOf(second)}; give each a line of its own");
            }
        }
    }

    private static (string? Chip, LineId Line) LineOf(object user) => user switch
    {
        GpioConfiguration source => (source.Chip, source.Line.Line),
        GpioSinkConfiguration sink => (sink.Chip, sink.Line.Line),
        _ => throw new ArgumentException($"{user} has no line", nameof(user)),
    };

    private static string UserOf(object user) => user switch
    {
        GpioConfiguration source => $"the source for topic '{source.Line.Topic}'",
        GpioSinkConfiguration sink => $"the sink for topic '{sink.Line.Topic}'",
        _ => throw new ArgumentException($"{user} has no line", nameof(user)),
    };
}
