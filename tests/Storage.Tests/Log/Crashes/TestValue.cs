using System.Globalization;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>Values that tell by themselves whether they are whole, and which was submitted first.</summary>
internal static class TestValue
{
    private const int MaxFill = 230;

    public static string Of(int ordinal) =>
        ordinal.ToString("D8", CultureInfo.InvariantCulture) + new string((char)('a' + (ordinal % 26)), ordinal % MaxFill * 79 % MaxFill);

    /// <summary>The ordinal of a value; null where it is none that was ever made.</summary>
    public static int? OrdinalOf(string value) =>
        value.Length >= 8 && int.TryParse(value.AsSpan(0, 8), NumberStyles.None, CultureInfo.InvariantCulture, out int ordinal)
        && Of(ordinal) == value
            ? ordinal
            : null;
}
