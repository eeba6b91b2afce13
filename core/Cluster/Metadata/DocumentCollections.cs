using LiteDB;
using LiteDB.Engine;

namespace EdgeStream.Cluster.Metadata;

/// <summary>What is done with the collections of a LiteDB engine. One that is not there yet is empty, and made by its first write.</summary>
internal static class DocumentCollections
{
    /// <summary>All documents, read before it returns: they may be deleted while they are gone through.</summary>
    public static IReadOnlyList<BsonDocument> All(this LiteEngine engine, string collection) => Read(engine, collection, new Query());

    public static BsonDocument? Find(this LiteEngine engine, string collection, string id) =>
        Read(engine, collection, new Query { Where = { BsonExpression.Create("_id = @0", id) } }).FirstOrDefault();

    public static void Upsert(this LiteEngine engine, string collection, params IEnumerable<BsonDocument> documents) =>
        engine.Upsert(collection, documents, BsonAutoId.ObjectId);

    public static void Delete(this LiteEngine engine, string collection, BsonValue id) => engine.Delete(collection, [id]);

    private static List<BsonDocument> Read(LiteEngine engine, string collection, Query query)
    {
        List<BsonDocument> documents = [];
        using IBsonDataReader reader = engine.Query(collection, query);
        while (reader.Read())
            documents.Add(reader.Current.AsDocument);

        return documents;
    }
}
