using System.Diagnostics;

namespace EdgeStream.Client;

/// <summary>How long, and how often, a partition's leader is tried again. For one caller at a time.</summary>
internal sealed class Retries(TimeSpan patience)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    // Another takes the place of an SPU that has died within seconds.
    private static readonly TimeSpan LongestPauseOfSeveral = TimeSpan.FromSeconds(1);

    private TimeSpan _pause = FirstPause;
    private long? _lostSince;

    /// <summary>It went on: patience begins anew.</summary>
    public void Succeeded() => (_pause, _lostSince) = (FirstPause, null);

    /// <summary>To be asked when it was lost.</summary>
    public bool IsWorthwhile() => Stopwatch.GetElapsedTime(_lostSince ??= Stopwatch.GetTimestamp()) < patience;

    /// <param name="several">Whether another SPU may come to lead.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task PauseAsync(bool several, CancellationToken cancellationToken)
    {
        await Task.Delay(_pause * (0.5 + Random.Shared.NextDouble()), cancellationToken).ConfigureAwait(false);
        TimeSpan longest = several ? LongestPauseOfSeveral : LongestPause;
        _pause = _pause * 2 < longest ? _pause * 2 : longest;
    }
}
