using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// What the SC, and nobody else, writes: topics, geo-locations, invites; never a write per record. What is read is known here, and waits
/// for nobody; what was saved is durable when its task completes. Safe from any thread.
/// </summary>
public interface ITopologyStore
{
    /// <summary>Made once with the store.</summary>
    string ClusterId { get; }

    IReadOnlyList<TopicInfo> LoadTopics();

    Task SaveTopicAsync(TopicInfo topic);

    Task DeleteTopicAsync(string name);

    IReadOnlyList<GeoLocationInfo> LoadGeoLocations();

    Task SaveGeoLocationAsync(GeoLocationInfo geoLocation);

    /// <summary>Of programs and SPUs: the names whose certificates are refused.</summary>
    IReadOnlyList<string> LoadRevokedNames();

    Task SaveRevokedNameAsync(string name);

    Task SaveInviteAsync(Invite invite);

    Invite? FindInvite(string secretHash);

    /// <summary>Forgets all tokens for a geo-location.</summary>
    Task DeleteInvitesAsync(string geoLocation);
}
