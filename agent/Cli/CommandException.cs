using EdgeStream.Storage;

namespace EdgeStream.Agent.Cli;

/// <summary>A command cannot do what it was asked to; the message says what would help.</summary>
internal sealed class CommandException(string message) : EdgeStreamException(message);
