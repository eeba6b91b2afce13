using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <summary>
/// One partition: an append-only sequence of record batches in segment files, with one writer and any number of readers.
/// Safe from any thread.
/// </summary>
/// <remarks>
/// <para>
/// The way of a batch: callers queue (<c>Append</c>) → the writer assigns offsets and hands the bytes of all that wait to the
/// operating system in one go → <c>End</c> moves, <see cref="AckLevel.Written"/> is acknowledged → the syncer syncs what the
/// writer has written meanwhile (group commit; the writer does not wait for it) → <c>Durable</c> moves, readers wake,
/// <see cref="AckLevel.Durable"/> is acknowledged. Readers see no further than <c>Durable</c>: after a power cut an offset
/// beyond it may name other data.
/// </para>
/// <para>
/// Order on disk when a segment is full: new file created → directory synced → first write into it. At most
/// <see cref="MaxUnsyncedSegments"/> sealed segments are not synced yet, so recovery has no more than that to read.
/// </para>
/// <para>Partials: <c>.Recovery</c> opens, <c>.Append</c> is the writer, <c>.Flush</c> the syncer, <c>.Read</c> lookups.</para>
/// </remarks>
public sealed partial class PartitionLog : IAsyncDisposable
{
    private readonly IStorageFiles _files;
    private readonly LogOptions _options;
    private readonly OffsetWatermark _mirrored;
    private readonly OffsetWatermark _durable;
    private readonly OffsetWatermark _end;

    // Guards the active segment, the unsynced ones and the list of base offsets as one.
    private readonly Lock _segmentsLock = new();
    private ActiveSegment _active;

    // Ascending; replaced as a whole, so that readers need no lock. 8 bytes a segment is all that is kept of them.
    private long[] _baseOffsets;

    private Task _writer = Task.CompletedTask;
    private Task _syncer = Task.CompletedTask;
    private volatile Exception? _failure;
    private int _disposed;

    private PartitionLog(string directory, IStorageFiles files, LogOptions options, PartitionManifest manifest, Recovered recovered)
    {
        Directory = directory;
        _files = files;
        _options = options;
        Manifest = manifest;
        Recovery = recovered.Report;
        _active = recovered.Active;
        _baseOffsets = recovered.BaseOffsets;
        _end = new OffsetWatermark(recovered.End);
        _durable = new OffsetWatermark(recovered.End);
        _mirrored = new OffsetWatermark(Math.Clamp(recovered.Mirrored, recovered.BaseOffsets[0], recovered.End));
        _pendingBytes = new ByteBudget(options.MaxPendingBytes);
    }

    public string Directory { get; }

    public PartitionManifest Manifest { get; private set; }

    /// <summary>What opening the log found.</summary>
    public RecoveryReport Recovery { get; }

    /// <summary>The error that stopped the log, or null while it runs.</summary>
    public Exception? Failure => _failure;

    public LogOffsets Offsets
    {
        get
        {
            // Read from the smallest mark up: each only grows, so the order between them holds in the result too.
            long start = StartOffset, mirrored = _mirrored.Value, durable = _durable.Value;
            return new LogOffsets(start, mirrored, durable, _end.Value);
        }
    }

    /// <summary>Offset of the first record held.</summary>
    public long StartOffset => Volatile.Read(ref _baseOffsets)[0];

    /// <summary>Bytes of all segments' log files, as the file system tells them.</summary>
    public long SizeInBytes()
    {
        long size = 0;
        foreach (long baseOffset in Volatile.Read(ref _baseOffsets))
        {
            try
            {
                using ILogFile file = _files.OpenForReading(LogPath(baseOffset));
                size += file.Length;
            }
            catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
            {
                // Dropped meanwhile.
            }
        }

        return size;
    }

    /// <summary>Completes once every record below <paramref name="offset"/> is durable.</summary>
    public ValueTask WaitForDurableAsync(long offset, CancellationToken cancellationToken) =>
        _durable.WaitForAsync(offset, cancellationToken);

    /// <summary>Completes once every record below <paramref name="offset"/> is durable at the hub.</summary>
    public ValueTask WaitForMirroredAsync(long offset, CancellationToken cancellationToken) =>
        _mirrored.WaitForAsync(offset, cancellationToken);

    /// <summary>Takes note of how far the hub is. What lies beyond this log's own durable end is not believed.</summary>
    public void SetMirrored(long offset) => _mirrored.Advance(Math.Min(offset, _durable.Value));

    /// <summary>Keeps a setting with the data, in the manifest; durable on return. For one caller at a time.</summary>
    public void SaveSetting(string name, string value)
    {
        var settings = new Dictionary<string, string>(Manifest.Settings) { [name] = value };
        PartitionManifest changed = Manifest with { Settings = settings };
        changed.Write(_files, Directory);
        Manifest = changed;
    }

    /// <summary>Writes and syncs what was accepted, ends all waits, and closes the files.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        var closed = new LogClosedException(Directory);
        _pendingBytes.Close(closed);
        _appends.Writer.TryComplete();
        await _writer.ConfigureAwait(false);
        _syncSignal.Writer.TryComplete();
        await _syncer.ConfigureAwait(false);
        if (_failure is null)
            WriteCheckpoint();

        _mirrored.Fail(closed);
        _durable.Fail(closed);
        _end.Fail(closed);
        lock (_segmentsLock)
        {
            _active.Dispose();
            foreach (ActiveSegment segment in _sealed)
                segment.Dispose();
        }
    }

    /// <summary>Stops the log for good: callers, those to come included, get the error.</summary>
    private LogFailedException Fail(Exception cause)
    {
        var failure = new LogFailedException(Directory, cause);
        _failure ??= failure;
        _pendingBytes.Close(failure);
        _appends.Writer.TryComplete();
        _mirrored.Fail(failure);
        _durable.Fail(failure);
        _end.Fail(failure);
        _syncSignal.Writer.TryWrite(true); // so that the syncer tells those who wait for it
        return failure;
    }

    private string LogPath(long baseOffset) => Path.Combine(Directory, SegmentFileName.Log(baseOffset));
}
