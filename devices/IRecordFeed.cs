namespace EdgeStream.Devices;

/// <summary>A record that a sink acts on.</summary>
/// <param name="Topic">The EdgeStream topic that it comes from.</param>
/// <param name="Offset">Its place there, for messages.</param>
/// <param name="Key">The record's key, or null. Memory as in <paramref name="Value"/>.</param>
/// <param name="Value">The payload; valid until the sink is done with the record.</param>
public sealed record SinkRecord(string Topic, long Offset, ReadOnlyMemory<byte>? Key, ReadOnlyMemory<byte> Value);

/// <summary>
/// Where sinks get the records that they act on. The agent adapts it to a topic's log; tests to a list. Safe for any number of sinks.
/// </summary>
public interface IRecordFeed
{
    /// <summary>
    /// Hands a sink the records of its topic, one after the other, from where it left off; what has expired is passed over and
    /// counted. Waits for a topic that is not there yet. Runs until cancelled.
    /// </summary>
    /// <param name="sink">Its place in the topic is kept under its name, durably.</param>
    /// <param name="act">
    /// When it has completed, the record is done and, after a moment, not handed out again whatever happens. Where it fails the call
    /// fails with the same, and the next call begins with this record.
    /// </param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task FollowAsync(ISink sink, Func<SinkRecord, CancellationToken, ValueTask> act, CancellationToken cancellationToken);
}
