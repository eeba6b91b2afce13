using System.Text;

namespace EdgeStream.Agent.Configuration;

/// <summary>A configuration file as it was read at one instant.</summary>
/// <param name="Path">Where it stands, for messages.</param>
/// <param name="Contents">All of it; nobody changes it.</param>
internal sealed record ConfigurationFile(string Path, byte[] Contents)
{
    /// <summary>Not even a comment stands in it.</summary>
    public bool IsBlank => !Contents.AsSpan().ContainsAnyExcept(" \t\r\n"u8);

    /// <exception cref="ConfigurationException">It cannot be read.</exception>
    public static ConfigurationFile Read(string path)
    {
        try
        {
            return new ConfigurationFile(path, File.ReadAllBytes(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"the configuration '{path}' cannot be read: {error.Message}", path);
        }
    }

    /// <summary>What is written in it.</summary>
    /// <exception cref="ConfigurationException">It is not UTF-8, which TOML is.</exception>
    public string Text()
    {
        ReadOnlySpan<byte> rest = Contents.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? Contents.AsSpan(Encoding.UTF8.Preamble.Length) : Contents;
        string text = Encoding.UTF8.GetString(rest);
        int line = 1, column = 1;
        while (!rest.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(rest, out Rune rune, out int length) != System.Buffers.OperationStatus.Done)
            {
                throw new ConfigurationException(
                    $"{Path}:{line}: is not UTF-8 (byte 0x{rest[0]:X2} at position {column} of the line); save the file as UTF-8", Path);
            }

            (line, column) = rune.Value == '\n' ? (line + 1, 1) : (line, column + length);
            rest = rest[length..];
        }

        return text;
    }
}
