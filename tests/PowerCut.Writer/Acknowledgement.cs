using System.Globalization;
using EdgeStream.Storage.Log;

namespace EdgeStream.PowerCut.Writer;

/// <summary>What the log promised about one batch, as one line of the writer's report.</summary>
/// <param name="Level">What was promised.</param>
/// <param name="BaseOffset">The first record's offset, as the log gave it.</param>
/// <param name="Count">How many records.</param>
/// <param name="First">The first record; the others follow it.</param>
/// <param name="Timestamp">When the writer had the acknowledgement, on the clock of <c>Stopwatch</c>, which all processes share.</param>
public sealed record Acknowledgement(AckLevel Level, long BaseOffset, int Count, RecordName First, long Timestamp)
{
    private const string Word = "acknowledged";

    public static Acknowledgement? TryParse(string line)
    {
        string[] words = line.Split(' ');
        return words[0] != Word
            ? null
            : new Acknowledgement(
                Enum.Parse<AckLevel>(words[1]),
                long.Parse(words[2], CultureInfo.InvariantCulture),
                int.Parse(words[3], CultureInfo.InvariantCulture),
                RecordName.Parse(words[4]),
                long.Parse(words[5], CultureInfo.InvariantCulture));
    }

    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Word} {Level} {BaseOffset} {Count} {First} {Timestamp}");
}
