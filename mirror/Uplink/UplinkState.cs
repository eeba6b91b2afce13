namespace EdgeStream.Mirror.Uplink;

/// <summary>What an uplink does at one instant, for people and for metrics.</summary>
/// <param name="Connected">The hub has welcomed this edge on a stream that is open.</param>
/// <param name="LastError">Why the last stream ended or a topic was refused; null where nothing ever went wrong.</param>
/// <param name="SentBytes">Bytes of batches sent since the start, those sent twice counted twice.</param>
/// <param name="Reconnects">Streams that were welcomed after the first.</param>
public readonly record struct UplinkState(bool Connected, string? LastError, long SentBytes, long Reconnects);
