namespace EdgeStream.Mirror.Uplink;

/// <summary>What a lane may take of the link that it shares with the mirror's stream. Safe from any thread.</summary>
public sealed class LinkShare
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromSeconds(1);

    // Each message's own: HTTP/2, TLS, and the answer.
    private const int MessageBytes = 100;

    private readonly LinkLimits _limits;
    private readonly FlowWindow _window;
    private readonly TimeProvider _time;

    /// <param name="limits">Those of all uplinks.</param>
    /// <param name="window">Knows what this link carries.</param>
    /// <param name="time">For waiting.</param>
    internal LinkShare(LinkLimits limits, FlowWindow window, TimeProvider time) => (_limits, _window, _time) = (limits, window, time);

    /// <summary>The month's data is used up, and these are no free hours: a lane takes nothing and sends nothing.</summary>
    public bool IsMonthUsedUp => _limits.IsMonthUsedUp;

    /// <summary>How many bytes may go ahead of the ordered data now; 0 or less where it has to go first.</summary>
    public int RoomAhead
    {
        get
        {
            if (IsMonthUsedUp)
                return 0;

            double rate = _window.Rate is > 0 and var known ? known : FlowWindow.InitialBytes;
            return _limits.Ahead.Room(Math.Min(rate, _limits.BytesPerSecond ?? rate));
        }
    }

    /// <summary>A message of so many bytes went ahead.</summary>
    public void WentAhead(int bytes) => _limits.Ahead.Went(bytes + MessageBytes);

    /// <summary>Completes when the month's data is used up, or when it is no more.</summary>
    public async Task WaitForMonthAsync(bool usedUp, CancellationToken cancellationToken)
    {
        while (IsMonthUsedUp != usedUp)
            await Task.Delay(AskAgain, _time, cancellationToken).ConfigureAwait(false);
    }
}
