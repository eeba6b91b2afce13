using System.IO.Enumeration;

namespace EdgeStream.Devices.Sysfs;

/// <summary>The files that a path with <c>*</c> and <c>?</c> means at the moment. A wildcard stays within its part of the path.</summary>
internal sealed class FilePattern(string pattern)
{
    private readonly string[] _parts = pattern.Split('/', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Without a wildcard it means one file, which need not exist.</summary>
    public bool HasWildcards { get; } = pattern.AsSpan().ContainsAny('*', '?');

    /// <summary>In the order of their names. What cannot be looked into holds no files.</summary>
    public IReadOnlyList<string> Files()
    {
        if (!HasWildcards)
            return [pattern];

        List<string> found = ["/"];
        foreach (string part in _parts)
            found = [.. found.SelectMany(folder => Within(folder, part))];

        return found;
    }

    private static List<string> Within(string folder, string part)
    {
        if (!part.AsSpan().ContainsAny('*', '?'))
        {
            string path = Path.Combine(folder, part);
            return Path.Exists(path) ? [path] : [];
        }

        try
        {
            return
            [
                .. Directory.EnumerateFileSystemEntries(folder)
                    .Where(path => FileSystemName.MatchesSimpleExpression(part, Path.GetFileName(path.AsSpan()), ignoreCase: false))
                    .Order(StringComparer.Ordinal),
            ];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
