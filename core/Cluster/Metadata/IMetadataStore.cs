using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Metadata;

/// <summary>A token that was handed out and may be redeemed once.</summary>
/// <param name="SecretHash">SHA-256 of the token's secret: the secret itself is not kept.</param>
/// <param name="GeoLocation">Whom it lets in.</param>
/// <param name="ExpiresAt">When it stops to be good.</param>
/// <param name="UsedAt">When it was redeemed; null before.</param>
public sealed record Invite(string SecretHash, string GeoLocation, DateTimeOffset ExpiresAt, DateTimeOffset? UsedAt);

/// <summary>
/// The control plane's memory: topics, geo-locations, invites, how far groups have read; never a write per record. Each method is durable on return and
/// safe from any thread.
/// </summary>
public interface IMetadataStore : IDisposable
{
    /// <summary>Made once with the store.</summary>
    string ClusterId { get; }

    IReadOnlyList<TopicInfo> LoadTopics();

    void SaveTopic(TopicInfo topic);

    /// <summary>With it go the positions of the groups that read it: one of its name is another topic.</summary>
    void DeleteTopic(string name);

    IReadOnlyList<GeoLocationInfo> LoadGeoLocations();

    void SaveGeoLocation(GeoLocationInfo geoLocation);

    void SaveInvite(Invite invite);

    Invite? FindInvite(string secretHash);

    /// <summary>Forgets all tokens for a geo-location.</summary>
    void DeleteInvites(string geoLocation);

    /// <summary>At a hub: null where the geo-location has not connected since it joined.</summary>
    StartTokens? FindStartTokens(string geoLocation);

    /// <summary>Null forgets them.</summary>
    void SaveStartTokens(string geoLocation, StartTokens? tokens);

    IReadOnlyList<GroupPositions> LoadGroupPositions();

    /// <summary>All of them, or none.</summary>
    void SaveGroupPositions(IReadOnlyCollection<GroupPositions> positions);

    void DeleteGroupPositions(string group, string topic);
}
