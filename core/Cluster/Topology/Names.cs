using System.Globalization;
using EdgeStream.Storage;

namespace EdgeStream.Cluster.Topology;

/// <summary>
/// What topics and geo-locations may be called. Names become directory and certificate names, so nothing passes here that
/// could mean more than itself there.
/// </summary>
public static class Names
{
    // Kafka's limit; a directory name may have 255 bytes.
    private const int MaxTopicLength = 249;

    // The most that a certificate's common name may have.
    private const int MaxCertificateNameLength = 64;

    /// <exception cref="InvalidNameException"/>
    public static string CheckTopic(string? name) => Check(name, "topic", MaxTopicLength);

    /// <exception cref="InvalidNameException"/>
    public static string CheckGeoLocation(string? name) => Check(name, "geo-location", MaxCertificateNameLength);

    /// <summary>A program that is given a certificate.</summary>
    /// <exception cref="InvalidNameException"/>
    public static string CheckClient(string? name) => Check(name, "client", MaxCertificateNameLength);

    /// <summary>Consumers that share their work.</summary>
    /// <exception cref="InvalidNameException"/>
    public static string CheckGroup(string? name) => Check(name, "group", MaxCertificateNameLength);

    private static string Check(string? name, string what, int maxLength)
    {
        if (string.IsNullOrEmpty(name))
            throw new InvalidNameException($"a {what} needs a name");

        if (name.Length > maxLength)
            throw new InvalidNameException($"a {what} name may have {maxLength} characters, this one has {name.Length}");

        if (name[0] == '.' || !name.All(IsAllowed))
        {
            throw new InvalidNameException(
                $"'{Printable(name)}' cannot be a {what} name: use letters, digits, '-', '_' and '.', not beginning with '.'");
        }

        return name;
    }

    private static bool IsAllowed(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.';

    // A name that is refused ends up in messages and logs: it must not bring line breaks, terminal codes or marks that turn
    // the direction of the text there.
    private static string Printable(string name) =>
        string.Concat(name.Select(c => IsInvisible(char.GetUnicodeCategory(c)) ? $"\\u{(int)c:x4}" : c.ToString()));

    private static bool IsInvisible(UnicodeCategory category) => category
        is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}

public sealed class InvalidNameException(string message) : EdgeStreamException(message);
