using System.Text.RegularExpressions;

namespace EdgeStream.Agent.Diagnostics;

/// <summary>Takes secrets out of configuration files, also of those that are no good TOML: then rather too much than too little.</summary>
internal static partial class Redaction
{
    /// <summary>
    /// The text with <c>"***"</c> for the value of each key that names a secret, for what stands behind it on its line, for the
    /// arguments of commands, and for users and passwords in URLs.
    /// </summary>
    public static string Redact(string toml) =>
        UserInfo().Replace(Arguments().Replace(Secret().Replace(toml, "$1\"***\""), "$1, \"***\"]"), "://***@");

    // A key that names a secret, and its value: a string of any of TOML's four kinds, or else all that is left of the line.
    [GeneratedRegex(
        """([\w-]*(?:password|passwd|passphrase|secret|token)[\w-]*["']?\s*=\s*)("{3}[\s\S]*?"{3,}|'{3}[\s\S]*?'{3,}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\n]*)(?:[ \t]*#[^\n]*)?""",
        RegexOptions.IgnoreCase)]
    private static partial Regex Secret();

    // A command's program, and its arguments: strings, commas, comments, up to the bracket.
    [GeneratedRegex(
        """(\bcommand["']?\s*=\s*\[\s*(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'))\s*,(?:[\s,]|#[^\n]*|"(?:\\.|[^"\\\n])*"|'[^'\n]*')*[\s,]*\]""")]
    private static partial Regex Arguments();

    [GeneratedRegex("""://[^/\s"'@]*@""")]
    private static partial Regex UserInfo();
}
