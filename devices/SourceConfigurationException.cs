namespace EdgeStream.Devices;

/// <summary>A source was set up wrongly. The message is one line that names the bad value and what is allowed.</summary>
public sealed class SourceConfigurationException(string message) : Exception(message);
