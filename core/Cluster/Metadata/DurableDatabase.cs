using EdgeStream.Storage.Files;
using LiteDB;
using LiteDB.Engine;

namespace EdgeStream.Cluster.Metadata;

/// <summary>A LiteDB file whose writes are on the disk when they return, and that goes on after an error. Safe from any thread.</summary>
/// <remarks>
/// LiteDB 5 writes a commit to its journal on a thread of its own: the call returns before, what goes wrong there is the error of a
/// later call, and from then on the engine refuses everything. So a write ends with a checkpoint, which waits for the journal; those
/// that come at the same time share one. After an error the database is opened anew, as it is on the disk.
///
/// The engine, and not LiteDB's own front of it, which makes a mapper of objects that nothing here uses, and regular expressions for it.
/// </remarks>
internal sealed class DurableDatabase : IDisposable
{
    // Many times what a write takes: others write to the same disk meanwhile.
    private const long Reserve = 1024 * 1024;

    private readonly string _path;

    // Who writes the checkpoint. Taken before _lock.
    private readonly Lock _checkpointing = new();

    // Guards all below.
    private readonly Lock _lock = new();
    private LiteEngine? _database;

    // Writes are numbered: the last one made, the last one on the disk, the last one that was lost with an error.
    private long _written;
    private long _durable;
    private long _lost;

    /// <exception cref="LiteException">The file is not a LiteDB file, or is damaged.</exception>
    public DurableDatabase(string path)
    {
        _path = path;
        _database = Open();
    }

    /// <summary>What is read may be a write of another thread that is not durable yet.</summary>
    /// <exception cref="IOException">The disk cannot be read.</exception>
    public T Read<T>(Func<LiteEngine, T> read)
    {
        lock (_lock)
            return Use(read);
    }

    /// <summary>Durable on return.</summary>
    /// <exception cref="IOException">The disk is full or broken; what was to be written is there as a whole, or not at all.</exception>
    public void Write(Action<LiteEngine> write)
    {
        CheckRoom();
        long number;
        lock (_lock)
        {
            number = Use(database =>
            {
                write(database);
                return ++_written;
            });
        }

        lock (_checkpointing)
        {
            lock (_lock)
            {
                if (number <= _lost)
                    throw Failed(null);

                if (number > _durable)
                    _durable = Use(Checkpoint);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
            Close();
    }

    private T Use<T>(Func<LiteEngine, T> use)
    {
        try
        {
            return use(_database ??= Open());
        }
        catch (Exception error)
        {
            Close();

            // Closed by the journal's thread, which keeps the reason to itself.
            if (error is ObjectDisposedException)
                throw Failed(error);

            throw;
        }
    }

    private void CheckRoom()
    {
        long free = StorageBudget.FreeBytes(Path.GetDirectoryName(_path)!);
        if (free < Reserve)
            throw DiskErrors.Full($"'{_path}' cannot be written: the disk is full; free at least {(Reserve - free + 1023) / 1024} KiB");
    }

    private long Checkpoint(LiteEngine database)
    {
        database.Checkpoint();
        return _written;
    }

    private IOException Failed(Exception? error) => new($"'{_path}' cannot be written; the disk is full or broken", error);

    private LiteEngine Open() => new(new EngineSettings
    {
        Filename = _path,

        // LiteDB's default compares keys without regard to case: "Readings" would replace "readings".
        Collation = Collation.Binary,
    });

    private void Close()
    {
        try
        {
            _database?.Dispose();
        }
        catch (Exception error) when (error is IOException or LiteException)
        {
            // Closing writes as well. What was acknowledged is on the disk.
        }

        _database = null;
        if (_written > _durable)
            _lost = _written;
    }
}
