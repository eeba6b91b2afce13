using EdgeStream.Storage;

namespace EdgeStream.Agent.Configuration;

/// <summary>The configuration is wrong. The message names file, line and key, and what would be right.</summary>
/// <param name="message">One line.</param>
/// <param name="file">The file that is at fault: without it the others may be good. Null where it is not known.</param>
public sealed class ConfigurationException(string message, string? file = null) : EdgeStreamException(message)
{
    public string? File => file;
}
