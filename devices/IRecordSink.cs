namespace EdgeStream.Devices;

/// <summary>
/// Where sources put what they read. The agent adapts it to a partition log; tests to a list. Safe for any number of
/// concurrent callers.
/// </summary>
public interface IRecordSink
{
    /// <summary>
    /// Stores one record. Completes only once the record is <b>durable</b>: a power cut after completion does not lose it.
    /// Records of one caller that are handed over in order (without waiting for completion) are stored in that order.
    /// A full log makes the call wait; that is the backpressure a source passes on to its devices.
    /// </summary>
    /// <param name="record">The record; its memory must stay unchanged until completion.</param>
    /// <param name="cancellationToken">Ends the wait; whether the record was stored is then unknown.</param>
    /// <exception cref="RecordRejectedException">The record can never be stored (too large, no such topic).</exception>
    ValueTask AppendAsync(SourceRecord record, CancellationToken cancellationToken);
}

/// <summary>The sink will never take this record, however often it is offered. The message says why, in one line.</summary>
public sealed class RecordRejectedException(string message, DropReason reason = DropReason.Refused) : Exception(message)
{
    /// <summary>What the source counts it under.</summary>
    public DropReason Reason => reason;
}
