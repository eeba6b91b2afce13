using System.Collections.Concurrent;

namespace EdgeStream.Cluster.Topology;

/// <summary>Which geo-locations have a link to this hub right now. Kept in memory only: after a restart they connect anew.</summary>
public sealed class GeoLocationPresence(TimeProvider time)
{
    private readonly ConcurrentDictionary<string, (int Links, DateTimeOffset LastSeen)> _links = new(StringComparer.Ordinal);

    public void Connected(string geoLocation) =>
        _links.AddOrUpdate(geoLocation, _ => (1, time.GetUtcNow()), (_, link) => (link.Links + 1, time.GetUtcNow()));

    public void Seen(string geoLocation) =>
        _links.AddOrUpdate(geoLocation, _ => (0, time.GetUtcNow()), (_, link) => (link.Links, time.GetUtcNow()));

    public void Disconnected(string geoLocation) =>
        _links.AddOrUpdate(geoLocation, _ => (0, time.GetUtcNow()), (_, link) => (Math.Max(0, link.Links - 1), time.GetUtcNow()));

    public bool IsOnline(string geoLocation) => _links.TryGetValue(geoLocation, out var link) && link.Links > 0;

    /// <summary>When it was last heard of since this node started; null where not.</summary>
    public DateTimeOffset? LastSeen(string geoLocation) => _links.TryGetValue(geoLocation, out var link) ? link.LastSeen : null;
}
