namespace EdgeStream.Storage.Records;

/// <summary>A record that no batch can hold. It will be refused however often it is offered.</summary>
public sealed class RecordTooLargeException(string message) : EdgeStreamException(message);
