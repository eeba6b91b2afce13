using System.Collections.Immutable;
using System.Globalization;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Records;
using LiteDB;
using LiteDB.Engine;

namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// The metadata in one LiteDB file. Documents are built by hand: LiteDB's object mapper stores empty documents, silently,
/// where native AOT has trimmed a class.
/// </summary>
/// <remarks>
/// The disk is waited for in the call, whose task is complete on return: many threads that write at once share a sync. Here groups'
/// positions go with the topic that they are of.
/// </remarks>
public sealed class LiteDbMetadataStore : ITopologyStore, IStartTokenStore, IPositionStore, IDisposable
{
    public const string FileName = "metadata.db";

    private const string Topics = "topics";
    private const string GeoLocations = "geo_locations";
    private const string RevokedNames = "revoked_names";
    private const string Invites = "invites";
    private const string Tokens = "start_tokens";
    private const string Groups = "group_positions";
    private const string Cluster = "cluster";

    private readonly DurableDatabase _database;

    // Thousands of edges may come back at once, and each save takes the time of a sync: only those that share a lock wait for each other.
    private readonly Lock[] _tokenLocks = [.. Enumerable.Range(0, 64).Select(_ => new Lock())];

    /// <exception cref="LiteException">The file is not a LiteDB file, or is damaged.</exception>
    public LiteDbMetadataStore(string path)
    {
        _database = new DurableDatabase(path);
        try
        {
            ClusterId = LoadClusterId();
        }
        catch
        {
            _database.Dispose();
            throw;
        }
    }

    public string ClusterId { get; }

    public IReadOnlyList<TopicInfo> LoadTopics() => Load(Topics, ToTopic);

    public Task SaveTopicAsync(TopicInfo topic) => SaveAsync(Topics, ToDocument(topic));

    public Task DeleteTopicAsync(string name) => WriteAsync(database =>
    {
        database.Delete(Topics, name);
        foreach (BsonDocument read in database.All(Groups).Where(document => document["topic"].AsString == name))
            database.Delete(Groups, read["_id"]);
    });

    public IReadOnlyList<GeoLocationInfo> LoadGeoLocations() => Load(GeoLocations, ToGeoLocation);

    public Task SaveGeoLocationAsync(GeoLocationInfo geoLocation) => SaveAsync(GeoLocations, ToDocument(geoLocation));

    public IReadOnlyList<string> LoadRevokedNames() => Load(RevokedNames, document => document["_id"].AsString);

    public Task SaveRevokedNameAsync(string name) => SaveAsync(RevokedNames, new BsonDocument { ["_id"] = name });

    public Task SaveInviteAsync(Invite invite) => SaveAsync(Invites, ToDocument(invite));

    public Task DeleteInvitesAsync(string geoLocation) => WriteAsync(database =>
    {
        foreach (BsonDocument invite in database.All(Invites).Where(document => document["geo"].AsString == geoLocation))
            database.Delete(Invites, invite["_id"]);
    });

    public Invite? FindInvite(string secretHash) => Find(Invites, secretHash) is { } document ? ToInvite(document) : null;

    public Task<StartTokens?> FindStartTokensAsync(string geoLocation) => Task.FromResult(FindStartTokens(geoLocation));

    public Task UpdateStartTokensAsync(string geoLocation, Func<StartTokens?, StartTokens?> decide) => CompletedAsync(() =>
    {
        lock (_tokenLocks[(uint)string.GetHashCode(geoLocation, StringComparison.Ordinal) % _tokenLocks.Length])
        {
            StartTokens? known = FindStartTokens(geoLocation), decided = decide(known);
            if (!ReferenceEquals(decided, known))
                _database.Write(database => Write(database, decided));
        }

        void Write(LiteEngine database, StartTokens? tokens)
        {
            if (tokens is null)
                database.Delete(Tokens, geoLocation);
            else
                database.Upsert(Tokens, ToDocument(geoLocation, tokens));
        }
    });

    public Task<IReadOnlyList<GroupPositions>> LoadGroupPositionsAsync() => Task.FromResult(Load(Groups, document => new GroupPositions(
        document["group"].AsString,
        document["topic"].AsString,
        document["offsets"].AsDocument.ToImmutableSortedDictionary(
            offset => int.Parse(offset.Key, CultureInfo.InvariantCulture), offset => offset.Value.AsInt64))));

    /// <inheritdoc/>
    /// <remarks>All of them, or none. There is one coordinator.</remarks>
    public async Task<IReadOnlyList<GroupPositions>> SaveGroupPositionsAsync(IReadOnlyCollection<GroupPositions> positions)
    {
        await WriteAsync(database => Upsert(database, positions)).ConfigureAwait(false);
        return [];
    }

    public Task DeleteGroupPositionsAsync(string group, string topic) =>
        WriteAsync(database => database.Delete(Groups, GroupKey(group, topic)));

    public void Dispose() => _database.Dispose();

    private string LoadClusterId()
    {
        if (Find(Cluster, "id") is { } document)
            return document["value"].AsString;

        string id = Guid.NewGuid().ToString("N");
        _database.Write(database => database.Upsert(Cluster, new BsonDocument { ["_id"] = "id", ["value"] = id }));
        return id;
    }

    private IReadOnlyList<T> Load<T>(string collection, Func<BsonDocument, T> convert) =>
        _database.Read<IReadOnlyList<T>>(database => [.. database.All(collection).Select(convert)]);

    private BsonDocument? Find(string collection, string id) => _database.Read<BsonDocument?>(database => database.Find(collection, id));

    private Task SaveAsync(string collection, BsonDocument document) => WriteAsync(database => database.Upsert(collection, document));

    private Task WriteAsync(Action<LiteEngine> write) => CompletedAsync(() => _database.Write(write));

    private static void Upsert(LiteEngine database, IReadOnlyCollection<GroupPositions> positions)
    {
        database.Upsert(Groups, positions.Select(one => new BsonDocument
        {
            ["_id"] = GroupKey(one.Group, one.Topic),
            ["group"] = one.Group,
            ["topic"] = one.Topic,
            ["offsets"] = new BsonDocument(one.Offsets.ToDictionary(
                offset => offset.Key.ToString(CultureInfo.InvariantCulture), offset => new BsonValue(offset.Value))),
        }));
    }

    private static Task CompletedAsync(Action action)
    {
        try
        {
            action();
            return Task.CompletedTask;
        }
        catch (Exception error)
        {
            return Task.FromException(error);
        }
    }

    private StartTokens? FindStartTokens(string geoLocation) => Find(Tokens, geoLocation) is { } document
        ? new StartTokens(
            TextOf(document["current"]),
            document["pending"].IsArray ? [.. document["pending"].AsArray.Select(TextOf).OfType<string>()] : [],
            document["given"].IsInt64 ? document["given"].AsInt64 : 0)
        : null;

    private static BsonDocument ToDocument(string geoLocation, StartTokens tokens) => new()
    {
        ["_id"] = geoLocation,
        ["current"] = tokens.Current,
        ["pending"] = new BsonArray(tokens.Pending.Select(token => new BsonValue(token))),
        ["given"] = tokens.Given,
    };

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

    // Neither name has a slash.
    private static string GroupKey(string group, string topic) => $"{group}/{topic}";

    private static string? TextOf(BsonValue value) => value.IsString ? value.AsString : null;

    // As text: LiteDB's own dates are local time.
    private static BsonValue FromTime(DateTimeOffset? time) =>
        time is { } value ? value.ToUniversalTime().ToString("O", CultureInfo.InvariantCulture) : BsonValue.Null;

    private static DateTimeOffset? ToTime(BsonValue value) =>
        value.IsNull ? null : DateTimeOffset.Parse(value.AsString, CultureInfo.InvariantCulture);
}
