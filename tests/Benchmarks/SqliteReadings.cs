using Microsoft.Data.Sqlite;

namespace EdgeStream.Benchmarks;

/// <summary>Readings in a SQLite table: write-ahead log, synced at each commit, statements prepared once.</summary>
internal sealed class SqliteReadings : IDisposable
{
    private readonly SqliteConnection _connection;
    private readonly SqliteCommand _insert;

    public SqliteReadings(string path)
    {
        _connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Pooling = false }.ToString());
        _connection.Open();
        Execute("PRAGMA journal_mode=WAL");
        Execute("PRAGMA synchronous=FULL");
        Execute("CREATE TABLE readings (offset INTEGER PRIMARY KEY, timestamp INTEGER NOT NULL, value BLOB NOT NULL)");
        _insert = _connection.CreateCommand();
        _insert.CommandText = "INSERT INTO readings (timestamp, value) VALUES ($timestamp, $value)";
        _insert.Parameters.Add("$timestamp", SqliteType.Integer);
        _insert.Parameters.Add("$value", SqliteType.Blob);
        _insert.Prepare();
    }

    /// <summary>One transaction; durable on return.</summary>
    public void Append(byte[] value, int count, long timestamp)
    {
        using SqliteTransaction transaction = _connection.BeginTransaction();
        _insert.Transaction = transaction;
        for (int i = 0; i < count; i++)
        {
            _insert.Parameters[0].Value = timestamp + i;
            _insert.Parameters[1].Value = value;
            _insert.ExecuteNonQuery();
        }

        transaction.Commit();
    }

    /// <summary>All readings in their order, each value copied out; how many there were.</summary>
    public int ReadAll(byte[] value)
    {
        using SqliteCommand select = _connection.CreateCommand();
        select.CommandText = "SELECT offset, timestamp, value FROM readings ORDER BY offset";
        using SqliteDataReader reader = select.ExecuteReader();
        int seen = 0;
        long sum = 0;
        for (; reader.Read(); seen++)
            sum += reader.GetInt64(0) + reader.GetInt64(1) + reader.GetBytes(2, 0, value, 0, value.Length);

        return sum > 0 ? seen : 0;
    }

    public void Dispose()
    {
        _insert.Dispose();
        _connection.Dispose();
    }

    private void Execute(string statement)
    {
        using SqliteCommand command = _connection.CreateCommand();
        command.CommandText = statement;
        command.ExecuteNonQuery();
    }
}
