using System.Text.RegularExpressions;

namespace EdgeStream.Agent.Diagnostics;

/// <summary>Takes secrets out of configuration files, also of those that are no good TOML: then rather too much than too little.</summary>
internal static partial class Redaction
{
    /// <summary>The text with <c>"***"</c> for the value of each key that names a secret.</summary>
    public static string Redact(string toml) => Secret().Replace(toml, "$1\"***\"");

    // A key that names a secret, and its value: a string of any of TOML's four kinds, or else all that is left of the line.
    [GeneratedRegex(
        """([\w-]*(?:password|passwd|passphrase|secret|token)[\w-]*["']?\s*=\s*)("{3}[\s\S]*?"{3,}|'{3}[\s\S]*?'{3,}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\n]*)""",
        RegexOptions.IgnoreCase)]
    private static partial Regex Secret();
}
