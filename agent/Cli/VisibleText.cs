using System.Globalization;
using System.Text;

namespace EdgeStream.Agent.Cli;

/// <summary>
/// Bytes that anybody may have sent, shown in a terminal: what would move its cursor, change its colours or turn the direction
/// of writing is spelled out, and what is no text is hexadecimal. Always one line.
/// </summary>
internal static class VisibleText
{
    private const string Null = "-";

    private static readonly Encoding StrictUtf8 = new UTF8Encoding(false, throwOnInvalidBytes: true);

    /// <summary>A dash stands for null, two quotes for what is empty.</summary>
    public static string Of(ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } present)
            return Null;

        if (present.IsEmpty)
            return "\"\"";

        try
        {
            string text = StrictUtf8.GetString(present.Span);

            // A text has a line break now and then. What is full of controls is numbers that happen to be valid UTF-8.
            return 4 * text.Count(IsUnusualControl) > text.Length ? Hex(present) : Of(text);
        }
        catch (DecoderFallbackException)
        {
            return Hex(present);
        }
    }

    public static string Of(string text) => Escape(text, NeedsEscape);

    /// <summary>As it is, with its lines and tabs, but for what a terminal would act upon or hide.</summary>
    public static string Harmless(string text) => Escape(text, rune => rune.Value is not ('\\' or '\n' or '\t') && NeedsEscape(rune));

    private static string Escape(string text, Func<Rune, bool> needsEscape)
    {
        if (!text.EnumerateRunes().Any(needsEscape))
            return text;

        var visible = new StringBuilder(text.Length + 16);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (needsEscape(rune))
                visible.Append(Escape(rune));
            else
                visible.Append(rune.ToString());
        }

        return visible.ToString();
    }

    private static string Hex(ReadOnlyMemory<byte> bytes) => "0x" + Convert.ToHexStringLower(bytes.Span);

    private static bool IsUnusualControl(char c) => char.IsControl(c) && c is not ('\n' or '\r' or '\t');

    private static bool NeedsEscape(Rune rune) => rune.Value == '\\' || Rune.GetUnicodeCategory(rune) is
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned or UnicodeCategory.Surrogate;

    private static string Escape(Rune rune) => rune.Value switch
    {
        '\\' => @"\\",
        '\n' => @"\n",
        '\r' => @"\r",
        '\t' => @"\t",
        < 0x100 => string.Create(CultureInfo.InvariantCulture, $"\\x{rune.Value:x2}"),
        _ => string.Create(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:x}}}"),
    };
}
