using System.Collections.Immutable;
using System.Globalization;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Records;
using LiteDB;

namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// The metadata in one LiteDB file. Documents are built by hand: LiteDB's object mapper stores empty documents, silently,
/// where native AOT has trimmed a class.
/// </summary>
public sealed class LiteDbMetadataStore : IMetadataStore
{
    public const string FileName = "metadata.db";

    private readonly LiteDatabase _database;
    private readonly ILiteCollection<BsonDocument> _topics;
    private readonly ILiteCollection<BsonDocument> _geoLocations;
    private readonly ILiteCollection<BsonDocument> _invites;
    private readonly ILiteCollection<BsonDocument> _startTokens;

    /// <exception cref="LiteException">The file is not a LiteDB file, or is damaged.</exception>
    public LiteDbMetadataStore(string path)
    {
        _database = new LiteDatabase(new ConnectionString
        {
            Filename = path,
            Connection = ConnectionType.Direct,

            // LiteDB's default compares keys without regard to case: "Readings" would replace "readings".
            Collation = Collation.Binary,
        });
        try
        {
            _topics = _database.GetCollection("topics");
            _geoLocations = _database.GetCollection("geo_locations");
            _invites = _database.GetCollection("invites");
            _startTokens = _database.GetCollection("start_tokens");
            ClusterId = LoadClusterId();
        }
        catch
        {
            _database.Dispose();
            throw;
        }
    }

    public string ClusterId { get; }

    public IReadOnlyList<TopicInfo> LoadTopics() => [.. _topics.FindAll().Select(ToTopic)];

    public void SaveTopic(TopicInfo topic) => _topics.Upsert(ToDocument(topic));

    public void DeleteTopic(string name) => _topics.Delete(name);

    public IReadOnlyList<GeoLocationInfo> LoadGeoLocations() => [.. _geoLocations.FindAll().Select(ToGeoLocation)];

    public void SaveGeoLocation(GeoLocationInfo geoLocation) => _geoLocations.Upsert(ToDocument(geoLocation));

    public void SaveInvite(Invite invite) => _invites.Upsert(ToDocument(invite));

    public void DeleteInvites(string geoLocation)
    {
        foreach (Invite invite in _invites.FindAll().Select(ToInvite).Where(invite => invite.GeoLocation == geoLocation).ToArray())
            _invites.Delete(invite.SecretHash);
    }

    public Invite? FindInvite(string secretHash) =>
        _invites.FindById(secretHash) is { } document ? ToInvite(document) : null;

    public StartTokens? FindStartTokens(string geoLocation) => _startTokens.FindById(geoLocation) is { } document
        ? new StartTokens(TextOf(document["current"]), document["pending"].IsArray ? [.. document["pending"].AsArray.Select(TextOf).OfType<string>()] : [])
        : null;

    public void SaveStartTokens(string geoLocation, StartTokens? tokens)
    {
        if (tokens is null)
        {
            _startTokens.Delete(geoLocation);
        }
        else
        {
            _startTokens.Upsert(new BsonDocument
            {
                ["_id"] = geoLocation,
                ["current"] = tokens.Current,
                ["pending"] = new BsonArray(tokens.Pending.Select(token => new BsonValue(token))),
            });
        }
    }

    public void Dispose() => _database.Dispose();

    private string LoadClusterId()
    {
        ILiteCollection<BsonDocument> cluster = _database.GetCollection("cluster");
        if (cluster.FindById("id") is { } document)
            return document["value"].AsString;

        string id = Guid.NewGuid().ToString("N");
        cluster.Insert(new BsonDocument { ["_id"] = "id", ["value"] = id });
        return id;
    }

    private static BsonDocument ToDocument(TopicInfo topic) => new()
    {
        ["_id"] = topic.Name,
        ["mirror"] = topic.Settings.Mirror,
        ["compression"] = topic.Settings.Compression.ToString(),
        ["everyEdge"] = topic.Settings.AtEveryEdge,
        ["storage"] = new BsonDocument(StorageSettingsText.Write(topic.Settings).ToDictionary(pair => pair.Key, pair => (BsonValue)pair.Value)),
        ["partitions"] = new BsonArray(topic.Partitions.Select(partition => new BsonDocument
        {
            ["number"] = partition.Number,
            ["leader"] = partition.LeaderSpu,
            ["geo"] = partition.GeoLocation is { } geo ? geo : BsonValue.Null,
        })),
    };

    private static TopicInfo ToTopic(BsonDocument document) => new(
        document["_id"].AsString,
        StorageSettingsText.Read(
            new TopicSettings(
                document["mirror"].AsBoolean,
                Enum.Parse<CompressionCodec>(document["compression"].AsString),
                document["everyEdge"].IsBoolean && document["everyEdge"].AsBoolean),
            name => document["storage"] is BsonDocument storage && storage[name].IsString ? storage[name].AsString : null),
        [.. document["partitions"].AsArray.Select(partition => new PartitionInfo(
            partition["number"].AsInt32, partition["leader"].AsInt32, partition["geo"].IsNull ? null : partition["geo"].AsString))]);

    private static BsonDocument ToDocument(GeoLocationInfo geoLocation) => new()
    {
        ["_id"] = geoLocation.Name,
        ["joined"] = FromTime(geoLocation.JoinedAt),
        ["revoked"] = geoLocation.Revoked,
        ["key"] = geoLocation.KeyFingerprint is { } key ? key : BsonValue.Null,
        ["certificateUntil"] = FromTime(geoLocation.CertificateUntil),
    };

    private static GeoLocationInfo ToGeoLocation(BsonDocument document) => new(
        document["_id"].AsString,
        ToTime(document["joined"]),
        document["revoked"].AsBoolean,
        document["key"].IsNull ? null : document["key"].AsString,
        ToTime(document["certificateUntil"]));

    private static BsonDocument ToDocument(Invite invite) => new()
    {
        ["_id"] = invite.SecretHash,
        ["geo"] = invite.GeoLocation,
        ["expires"] = FromTime(invite.ExpiresAt),
        ["used"] = FromTime(invite.UsedAt),
    };

    private static Invite ToInvite(BsonDocument document) =>
        new(document["_id"].AsString, document["geo"].AsString, ToTime(document["expires"])!.Value, ToTime(document["used"]));

    private static string? TextOf(BsonValue value) => value.IsString ? value.AsString : null;

    // As text: LiteDB's own dates are local time.
    private static BsonValue FromTime(DateTimeOffset? time) =>
        time is { } value ? value.ToUniversalTime().ToString("O", CultureInfo.InvariantCulture) : BsonValue.Null;

    private static DateTimeOffset? ToTime(BsonValue value) =>
        value.IsNull ? null : DateTimeOffset.Parse(value.AsString, CultureInfo.InvariantCulture);
}
