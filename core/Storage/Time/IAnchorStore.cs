namespace EdgeStream.Storage.Time;

/// <summary>Where a <see cref="LogClock"/> keeps its anchors. For one thread at a time. What it loses costs corrections, nothing else.</summary>
public interface IAnchorStore
{
    /// <summary>Anchors in the store, those that nobody needs any more included.</summary>
    int Count { get; }

    /// <summary>The good anchors; none where there are none yet.</summary>
    /// <exception cref="IOException">They cannot be read.</exception>
    IReadOnlyList<ClockAnchor> Load();

    /// <summary>Adds an anchor behind the good ones.</summary>
    /// <exception cref="IOException">It may not be there now; those before it are.</exception>
    void Append(ClockAnchor anchor);

    /// <summary>Puts these anchors in the place of all.</summary>
    /// <exception cref="IOException">All is as it was, or is new.</exception>
    void Replace(IReadOnlyList<ClockAnchor> anchors);
}
