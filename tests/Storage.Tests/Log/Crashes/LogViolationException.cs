namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>The log has broken a promise.</summary>
public sealed class LogViolationException(string message, Exception? inner = null) : Exception(message, inner);
