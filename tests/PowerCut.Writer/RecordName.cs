using System.Globalization;

namespace EdgeStream.PowerCut.Writer;

/// <summary>
/// Which record of which producer of which run of the writer. Its value follows from the name, byte by byte, so whoever reads a
/// value can tell whether it is whole.
/// </summary>
/// <param name="Run">The writer's number; no two writers of a log have the same.</param>
/// <param name="Producer">The producer in that writer.</param>
/// <param name="Number">Counts up from 0 in the order in which the producer appends.</param>
public readonly record struct RecordName(int Run, int Producer, int Number)
{
    private const int FillerLimit = 700;

    public static RecordName Parse(string text)
    {
        int[] parts = [.. text.Split('.').Select(part => int.Parse(part, CultureInfo.InvariantCulture))];
        return new RecordName(parts[0], parts[1], parts[2]);
    }

    /// <exception cref="InvalidDataException">It is not the value of any name.</exception>
    public static RecordName OfValue(string value)
    {
        try
        {
            RecordName name = Parse(value.Split(' ')[0]);
            if (name.ToValue() == value)
                return name;
        }
        catch (Exception error) when (error is FormatException or IndexOutOfRangeException)
        {
        }

        throw new InvalidDataException($"a record has a value that nobody wrote: '{value}'");
    }

    public RecordName Next(int steps = 1) => this with { Number = Number + steps };

    /// <summary>Of uneven length, so that batches end anywhere in a page and in a segment.</summary>
    public string ToValue()
    {
        int length = (int)((((uint)Number * 2654435761) + ((uint)Producer * 40503)) % FillerLimit);
        return $"{this} {new string((char)('a' + (Number % 26)), length)}";
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Run}.{Producer}.{Number}");
}
