using System.Globalization;

namespace EdgeStream.Storage.Segments;

/// <summary>
/// The files of a segment are named by its base offset in twenty digits, as Kafka names them, so that their names sort as
/// their offsets do.
/// </summary>
public static class SegmentFileName
{
    public const string LogExtension = ".log";
    public const string OffsetIndexExtension = ".index";
    public const string TimeIndexExtension = ".timeindex";

    private const int Digits = 20;

    public static string Log(long baseOffset) => Format(baseOffset) + LogExtension;

    public static string OffsetIndex(long baseOffset) => Format(baseOffset) + OffsetIndexExtension;

    public static string TimeIndex(long baseOffset) => Format(baseOffset) + TimeIndexExtension;

    /// <summary>The base offset in the name of a segment's log file; false for every other name.</summary>
    public static bool TryParseLog(string fileName, out long baseOffset) => TryParse(fileName, LogExtension, out baseOffset);

    /// <summary>The base offset in the name of one of a segment's index files; false for every other name.</summary>
    public static bool TryParseIndex(string fileName, out long baseOffset) =>
        TryParse(fileName, OffsetIndexExtension, out baseOffset) || TryParse(fileName, TimeIndexExtension, out baseOffset);

    private static bool TryParse(string fileName, string extension, out long baseOffset)
    {
        baseOffset = 0;
        return fileName.Length == Digits + extension.Length
            && fileName.EndsWith(extension, StringComparison.Ordinal)
            && long.TryParse(fileName.AsSpan(0, Digits), NumberStyles.None, CultureInfo.InvariantCulture, out baseOffset);
    }

    private static string Format(long baseOffset) => baseOffset.ToString("D20", CultureInfo.InvariantCulture);
}
