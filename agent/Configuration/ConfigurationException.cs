using EdgeStream.Storage;

namespace EdgeStream.Agent.Configuration;

/// <summary>The configuration is wrong. The message names file, line and key, and what would be right.</summary>
public sealed class ConfigurationException(string message) : EdgeStreamException(message);
