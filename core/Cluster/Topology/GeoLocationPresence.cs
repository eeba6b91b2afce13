using System.Collections.Concurrent;

namespace EdgeStream.Cluster.Topology;

/// <summary>
/// What a hub sees of its geo-locations' links: which they have right now, what came over them, who was refused. Kept in memory only:
/// after a restart they connect anew.
/// </summary>
public sealed class GeoLocationPresence
{
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, (int Links, DateTimeOffset LastSeen)> _links = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, GeoLocationTraffic> _traffic = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _errors = new(StringComparer.Ordinal);

    public GeoLocationPresence(TimeProvider time)
    {
        _time = time;
        Refusals = new GeoLocationRefusals(IsOnline, time);
    }

    /// <summary>Who was not let in.</summary>
    public GeoLocationRefusals Refusals { get; }

    public void Connected(string geoLocation) =>
        _links.AddOrUpdate(geoLocation, _ => (1, _time.GetUtcNow()), (_, link) => (link.Links + 1, _time.GetUtcNow()));

    public void Seen(string geoLocation) =>
        _links.AddOrUpdate(geoLocation, _ => (0, _time.GetUtcNow()), (_, link) => (link.Links, _time.GetUtcNow()));

    /// <param name="geoLocation">Whose link has ended.</param>
    /// <param name="problem">Why, in one line; null where the edge has ended it.</param>
    public void Disconnected(string geoLocation, string? problem = null)
    {
        _links.AddOrUpdate(geoLocation, _ => (0, _time.GetUtcNow()), (_, link) => (Math.Max(0, link.Links - 1), _time.GetUtcNow()));
        if (problem is not null)
            _errors[geoLocation] = problem;
    }

    public bool IsOnline(string geoLocation) => _links.TryGetValue(geoLocation, out var link) && link.Links > 0;

    /// <summary>When it was last heard of since this node started; null where not.</summary>
    public DateTimeOffset? LastSeen(string geoLocation) => _links.TryGetValue(geoLocation, out var link) ? link.LastSeen : null;

    /// <summary>Why a link of it ended the last time that one was not ended by the edge; null where none was. Stays when it is back.</summary>
    public string? LinkError(string geoLocation) => _errors.GetValueOrDefault(geoLocation);

    /// <summary>What comes up from it.</summary>
    public GeoLocationTraffic TrafficOf(string geoLocation) => _traffic.GetOrAdd(geoLocation, _ => new GeoLocationTraffic(_time));
}
