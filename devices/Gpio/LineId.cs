using System.Globalization;

namespace EdgeStream.Devices.Gpio;

/// <summary>A line as people say which: its number on the chip, or the name that the board's device tree gives it.</summary>
public readonly record struct LineId
{
    private readonly int _number;

    private LineId(int number, string? name) => (_number, Name) = (number, name);

    /// <summary>Its name; null where it is said by number.</summary>
    public string? Name { get; }

    /// <summary>Its number; only where it is said by number.</summary>
    public int Number => Name is null ? _number : throw new InvalidOperationException($"the number of line {Name} is the chip's to tell");

    public static implicit operator LineId(int number) => FromNumber(number);

    public static LineId FromNumber(int number) => new(number, null);

    public static LineId FromName(string name) => new(0, name);

    public override string ToString() => Name ?? _number.ToString(CultureInfo.InvariantCulture);

    /// <exception cref="SourceConfigurationException">No chip can have such a line.</exception>
    public LineId Validated()
    {
        if (Name is null && _number is < 0 or > 1023)
            throw new SourceConfigurationException($"a GPIO line is a number from 0 to 1023, not {_number}");

        return Name is { Length: 0 or > 31 } || Name?.Any(char.IsControl) == true
            ? throw new SourceConfigurationException("a GPIO line's name has 1 to 31 characters, such as \"GPIO17\"; 'gpioinfo' lists them")
            : this;
    }
}
