using EdgeStream.Storage.Gaps;

namespace EdgeStream.Storage.Log;

/// <summary>What whoever appends waits for: the same of each log, wherever its records lie. Safe from any thread.</summary>
/// <param name="pending">The log's: what appends hold of it is given back here.</param>
/// <param name="mirrored">How far the log's copy is.</param>
/// <param name="gaps">Gives what is known to be lost now.</param>
public sealed class Acknowledgements(ByteBudget pending, OffsetWatermark mirrored, Func<KnownGaps> gaps)
{
    /// <summary>Completes once records are as safe as their producer wants them to be.</summary>
    /// <param name="appended">Completes when they are so as far as it is the log's own business; their bytes are free then.</param>
    /// <param name="bytes">What they hold of the budget.</param>
    /// <param name="ack">What is waited for.</param>
    /// <param name="cancellationToken">Ends the wait for the copy.</param>
    /// <exception cref="RecordsLostException">Some of them were dropped before the copy had them.</exception>
    public async Task<AppendedRange> WaitAsync(Task<AppendedRange> appended, long bytes, AckLevel ack, CancellationToken cancellationToken)
    {
        AppendedRange range;
        try
        {
            range = await appended.ConfigureAwait(false);
        }
        finally
        {
            pending.Release(bytes);
        }

        if (ack == AckLevel.Mirrored)
        {
            // The mark passes over what was dropped as well, which is noted before.
            await mirrored.WaitForAsync(range.LastOffset + 1, cancellationToken).ConfigureAwait(false);
            if (gaps().Touches(range.BaseOffset, range.LastOffset))
                throw new RecordsLostException(range);
        }

        return range;
    }
}
