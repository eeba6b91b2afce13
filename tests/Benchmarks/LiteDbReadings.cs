using LiteDB;

namespace EdgeStream.Benchmarks;

/// <summary>Readings in a LiteDB collection, one bulk insert for each batch.</summary>
internal sealed class LiteDbReadings : IDisposable
{
    private readonly LiteDatabase _database;
    private readonly ILiteCollection<BsonDocument> _readings;

    public LiteDbReadings(string path)
    {
        _database = new LiteDatabase(path);
        _readings = _database.GetCollection("readings", BsonAutoId.Int64);
    }

    /// <summary>One transaction; durable on return, as far as LiteDB promises it.</summary>
    public void Append(byte[] value, int count, long timestamp) => _readings.InsertBulk(
        Enumerable.Range(0, count).Select(i => new BsonDocument { ["timestamp"] = timestamp + i, ["value"] = value }), count);

    /// <summary>All readings in their order; how many there were.</summary>
    public int ReadAll()
    {
        int seen = 0;
        long sum = 0;
        foreach (BsonDocument reading in _readings.FindAll())
        {
            sum += reading["timestamp"].AsInt64 + reading["value"].AsBinary.Length;
            seen++;
        }

        return sum > 0 ? seen : 0;
    }

    public void Dispose() => _database.Dispose();
}
