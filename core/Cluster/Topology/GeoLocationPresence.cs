using System.Collections.Concurrent;

namespace EdgeStream.Cluster.Topology;

/// <summary>
/// What a hub sees of its geo-locations' links: which they have right now, what came over them, who was refused. At an SC it is what the
/// SPUs tell that have the links. Kept in memory only: after a restart they connect anew.
/// </summary>
public sealed class GeoLocationPresence
{
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, (int Links, DateTimeOffset LastSeen)> _links = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, GeoLocationTraffic> _traffic = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _errors = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, (int Spu, V1.GeoLocation Seen)> _elsewhere = new(StringComparer.Ordinal);

    public GeoLocationPresence(TimeProvider time)
    {
        _time = time;
        Refusals = new GeoLocationRefusals(IsOnline, time);
    }

    /// <summary>The geo-locations that had a link here since this node started.</summary>
    public IEnumerable<string> Known => _links.Keys;

    /// <summary>Takes note of what an SPU elsewhere has seen of a geo-location.</summary>
    public void NoteElsewhere(int spu, V1.GeoLocation seen) => _elsewhere.AddOrUpdate(
        seen.Name,
        (spu, seen),
        (_, known) => known.Spu == spu || IsOnline(seen) || (!IsOnline(known.Seen) && seen.LastSeen > known.Seen.LastSeen) ? (spu, seen) : known);

    /// <summary>The links of an SPU that is gone are gone with it.</summary>
    public void ForgetSpu(int spu) => Forget(known => known == spu);

    /// <summary>The links of all SPUs, before they tell anew.</summary>
    public void ForgetSpus() => Forget(_ => true);

    private void Forget(Func<int, bool> which)
    {
        foreach ((string name, (int Spu, V1.GeoLocation Seen) known) in _elsewhere)
        {
            if (which(known.Spu) && IsOnline(known.Seen))
                _elsewhere.TryUpdate(name, (known.Spu, Offline(known.Seen)), known);
        }
    }

    /// <summary>What the SPU that has, or had, the link of a geo-location has told of it last; null where none has.</summary>
    public V1.GeoLocation? FindElsewhere(string geoLocation) => _elsewhere.TryGetValue(geoLocation, out (int Spu, V1.GeoLocation Seen) known) ? known.Seen : null;

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

    public bool IsOnline(string geoLocation) =>
        (_links.TryGetValue(geoLocation, out var link) && link.Links > 0) || FindElsewhere(geoLocation)?.State == V1.GeoLocationState.Online;

    /// <summary>When it was last heard of since this node started; null where not.</summary>
    public DateTimeOffset? LastSeen(string geoLocation) => _links.TryGetValue(geoLocation, out var link) ? link.LastSeen : null;

    /// <summary>Why a link of it ended the last time that one was not ended by the edge; null where none was. Stays when it is back.</summary>
    public string? LinkError(string geoLocation) => _errors.GetValueOrDefault(geoLocation);

    /// <summary>What comes up from it.</summary>
    public GeoLocationTraffic TrafficOf(string geoLocation) => _traffic.GetOrAdd(geoLocation, _ => new GeoLocationTraffic(_time));

    private static bool IsOnline(V1.GeoLocation seen) => seen.State == V1.GeoLocationState.Online;

    private static V1.GeoLocation Offline(V1.GeoLocation seen)
    {
        V1.GeoLocation offline = seen.Clone();
        offline.State = V1.GeoLocationState.Offline;
        return offline;
    }
}
