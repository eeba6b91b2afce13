using System.Globalization;
using System.Text;

namespace EdgeStream.Devices.Sysfs;

/// <summary>What a file of the kernel says: a number, or the two lines of a 1-wire thermometer's <c>w1_slave</c>.</summary>
internal static class KernelValue
{
    private const string Checksum = " crc=";
    private const string Temperature = "t=";

    // A sensor that is gone reads as zeros, and the checksum of zeros is zero: right, and yet no reading.
    private const string Nothing = "00 00 00 00 00 00 00 00 00 ";

    /// <param name="bytes">The file, whole.</param>
    /// <param name="value">The number that it says.</param>
    /// <param name="problem">Why it says none, in a few words.</param>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out decimal value, out string problem)
    {
        string text = Encoding.UTF8.GetString(bytes).Trim('\0', ' ', '\n', '\r', '\t');
        if (text.Contains(Checksum, StringComparison.Ordinal))
            return TryParseOneWire(text, out value, out problem);

        problem = text.Length == 0 ? "it is empty" : $"'{Shown(text)}' is no number";
        return TryParseNumber(text, out value);
    }

    private static bool TryParseOneWire(string text, out decimal value, out string problem)
    {
        value = 0;
        int lineEnd = text.IndexOf('\n', StringComparison.Ordinal), at = text.LastIndexOf(Temperature, StringComparison.Ordinal);
        if (lineEnd < 0 || !text[..lineEnd].TrimEnd().EndsWith("YES", StringComparison.Ordinal) || text.StartsWith(Nothing, StringComparison.Ordinal))
        {
            problem = "the sensor's checksum is wrong; is its wiring good?";
            return false;
        }

        problem = $"'{Shown(text[(lineEnd + 1)..])}' has no t=";
        return at > lineEnd && TryParseNumber(text[(at + Temperature.Length)..], out value);
    }

    private static bool TryParseNumber(string text, out decimal value) =>
        decimal.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value);

    /// <summary>For a message of one line.</summary>
    private static string Shown(string text) => string.Concat(text.Take(40).Select(c => char.IsControl(c) ? '?' : c)) + (text.Length > 40 ? "…" : "");
}
