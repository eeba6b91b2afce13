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
    public static void CheckLines(string file, AgentConfiguration configuration)
    {
        var users = configuration.GpioLines
            .Select(source => (source.Chip, source.Line.Line, Key: "source.gpio.line", User: $"the source for topic '{source.Line.Topic}'"))
            .Concat(configuration.GpioSinks
                .Select(sink => (sink.Chip, sink.Line.Line, Key: "sink.gpio.line", User: $"the sink for topic '{sink.Line.Topic}'")));
        foreach (var same in users.GroupBy(user => (user.Chip, user.Line)))
        {
            if (same.Take(2).ToArray() is [var first, var second])
            {
                throw new ConfigurationException(
                    $"{file}: {second.Key}: line {same.Key.Line} of {same.Key.Chip ?? "the simulated chip"} is wanted by {first.User} and by {second.User}; "
                    + "give each a line of its own");
            }
        }
    }
}
