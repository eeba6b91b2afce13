namespace EdgeStream.Cluster.Topology;

/// <summary>That somebody with a geo-location's card was not let in.</summary>
/// <param name="GeoLocation">Whose card it is, by its certificate; empty where that proves nothing.</param>
/// <param name="Reason">Why, in one line.</param>
/// <param name="At">When that was the last time.</param>
/// <param name="Address">Where it came from then.</param>
/// <param name="Count">How often since this node started.</param>
public sealed record GeoLocationRefusal(string GeoLocation, string Reason, DateTimeOffset At, string Address, long Count);

/// <summary>
/// The last refusal of each geo-location, in memory and bounded in number. Shown until the geo-location has a link and nobody was
/// refused in its name for a while: the link of the right card says nothing of a copy that goes on trying. Safe from any thread.
/// </summary>
/// <param name="isOnline">Whether a geo-location has a link.</param>
/// <param name="time">For both clocks.</param>
public sealed class GeoLocationRefusals(Func<string, bool> isOnline, TimeProvider time)
{
    /// <summary>How many are kept; beyond that the oldest goes.</summary>
    public const int MaxKept = 1000;

    /// <summary>How long a refusal is shown beside a good link. An edge tries again after half a minute at most.</summary>
    public static readonly TimeSpan ShownBesideLink = TimeSpan.FromMinutes(10);

    // Whoever has never been let in is never let in: those go by age alone.
    private static readonly TimeSpan ShownOfStrangers = TimeSpan.FromDays(1);

    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <param name="Refusal">What is known.</param>
    /// <param name="Stamp">When it was, by the clock that nobody sets.</param>
    /// <param name="Logged">When one of them was logged.</param>
    private readonly record struct Entry(GeoLocationRefusal Refusal, long Stamp, long Logged);

    /// <summary>Those that are shown, by name.</summary>
    public IReadOnlyList<GeoLocationRefusal> Shown
    {
        get
        {
            lock (_lock)
                return [.. _entries.Values.Where(IsShown).Select(entry => entry.Refusal).OrderBy(refusal => refusal.GeoLocation, StringComparer.Ordinal)];
        }
    }

    /// <summary>Takes note of a refusal.</summary>
    /// <returns>Whether to log it: the same one is logged now and then only, however often it comes.</returns>
    public bool Note(string geoLocation, string reason, string address)
    {
        lock (_lock)
        {
            long now = time.GetTimestamp();
            bool isKnown = _entries.TryGetValue(geoLocation, out Entry known);
            bool log = !isKnown || known.Refusal.Reason != reason || time.GetElapsedTime(known.Logged, now) >= LogInterval;
            if (!isKnown && _entries.Count >= MaxKept)
                _entries.Remove(_entries.MinBy(entry => entry.Value.Stamp).Key);

            var refusal = new GeoLocationRefusal(geoLocation, reason, time.GetUtcNow(), address, isKnown ? known.Refusal.Count + 1 : 1);
            _entries[geoLocation] = new Entry(refusal, now, log ? now : known.Logged);
            return log;
        }
    }

    /// <summary>The last refusal of a geo-location, where it is still shown.</summary>
    public GeoLocationRefusal? Find(string geoLocation)
    {
        lock (_lock)
            return _entries.TryGetValue(geoLocation, out Entry entry) && IsShown(entry) ? entry.Refusal : null;
    }

    private bool IsShown(Entry entry)
    {
        TimeSpan age = time.GetElapsedTime(entry.Stamp);
        return entry.Refusal.GeoLocation.Length == 0 ? age < ShownOfStrangers : age < ShownBesideLink || !isOnline(entry.Refusal.GeoLocation);
    }
}
