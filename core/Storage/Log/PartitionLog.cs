using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Segments;
using EdgeStream.Storage.Time;

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
/// Order on disk. A segment is full: next file made and allocated, or an old one taken → directory synced → first write into
/// it. Old segments go: gap durable (or, where nothing is lost, checkpoint durable) → file removed or taken for the next
/// segment. Damage: bytes kept aside → good batches behind it in a file of their own → gap durable → damaged file cut.
/// Within a segment file offsets have no holes; what lies between two files is in the ledger of gaps.
/// </para>
/// <para>
/// Partials: <c>.Append</c> is the writer, <c>.Flush</c> the syncer, <c>.Space</c> finds room for the next segment and drops old
/// ones, <c>.Repair</c> deals with damage, <c>.Read</c> looks up. <see cref="LogRecovery"/> opens.
/// </para>
/// </remarks>
public sealed partial class PartitionLog : IPartitionLog
{
    private readonly IStorageFiles _files;
    private readonly LogOptions _options;
    private readonly LogResources _resources;
    private readonly GapLedger _ledger;
    private readonly OffsetWatermark _mirrored;
    private readonly OffsetWatermark _durable;
    private readonly OffsetWatermark _end;

    // Guards the writable segment, the unsynced ones and the list of segments as one. Nothing blocks inside.
    private readonly Lock _segmentsLock = new();
    private WritableSegment _active;

    // Ascending; replaced as a whole, so that readers need no lock. 16 bytes a segment is all that is kept of them. The last
    // is the active one.
    private SegmentInfo[] _segments;

    private Task _writer = Task.CompletedTask;
    private Task _syncer = Task.CompletedTask;
    private volatile Exception? _failure;
    private volatile LogSettings _settings;
    private volatile string? _fullReason;
    private long _appendedBytes;
    private long _lastClockNote = -1000;
    private int _disposed;

    private PartitionLog(
        string directory, IStorageFiles files, LogOptions options, LogSettings settings, LogResources resources,
        PartitionManifest manifest, RecoveredLog recovered)
    {
        Directory = directory;
        _files = files;
        _options = options;
        _settings = settings;
        _resources = resources;
        _ledger = recovered.Ledger;
        _quarantine = new Quarantine(files, directory, resources.Budget);
        Manifest = manifest;
        Recovery = recovered.Report;
        _active = recovered.Active;
        _segments = recovered.Segments;
        _end = new OffsetWatermark(recovered.End);
        _durable = new OffsetWatermark(recovered.End);
        _mirrored = new OffsetWatermark(Math.Clamp(recovered.Mirrored, recovered.Segments[0].BaseOffset, recovered.End));
        _pendingBytes = new ByteBudget(options.MaxPendingBytes);
        _acknowledgements = new Acknowledgements(_pendingBytes, _mirrored, () => _ledger.Known);
        _durableEnd = new DurableEnd(recovered.End, recovered.Active.BaseOffset, recovered.Active.Position, IsClean: true);
        _activeSince = resources.AgeClock();
        resources.Budget.Add(SizeInBytes());
        Clock = LogClock.Open(files, directory, resources.Clock, recovered.End);
        Clock.Forget(recovered.Segments[0].BaseOffset);
    }

    public string Directory { get; }

    public PartitionManifest Manifest { get; private set; }

    /// <summary>What the topic says; a change counts from the next batch on.</summary>
    public LogSettings Settings
    {
        get => _settings;
        set
        {
            _settings = value;
            SyncSoon();
        }
    }

    /// <summary>What is known of the clock that stamped the records. <see cref="LogClock.Note"/> is the log's own to call.</summary>
    public LogClock Clock { get; }

    /// <summary>What opening the log found.</summary>
    public RecoveryReport Recovery { get; }

    /// <summary>The error that stopped the log, or null while it runs.</summary>
    public Exception? Failure => _failure;

    /// <summary>
    /// How long the writer or the syncer has been at what it is at; zero while neither has work. Long, where the disk does not
    /// answer or the loop hangs.
    /// </summary>
    public TimeSpan BusyFor => _writing.Elapsed > _syncing.Elapsed ? _writing.Elapsed : _syncing.Elapsed;

    /// <summary>Why the last append was refused for want of room; null once one was taken again.</summary>
    public string? FullReason => _fullReason;

    /// <summary>Bytes of the batches that were appended since the log was opened.</summary>
    public long AppendedBytes => Interlocked.Read(ref _appendedBytes);

    /// <summary>What is known to be lost, ascending by offset; a snapshot.</summary>
    public IReadOnlyList<Gap> Gaps => _ledger.Gaps;

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
    public long StartOffset => Volatile.Read(ref _segments)[0].BaseOffset;

    /// <summary>Opens a partition's directory, or makes it. Damage does not keep it from opening: it becomes a gap.</summary>
    /// <param name="directory">The directory; only one log may have it open, which the caller sees to.</param>
    /// <param name="newManifest">Asked for the manifest where the directory has none that can be read.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="files">The file system.</param>
    /// <param name="settings">What the topic says.</param>
    /// <param name="resources">What it shares with the node's other logs.</param>
    /// <exception cref="EdgeStreamException">The directory was written by a newer version of this program.</exception>
    /// <exception cref="IOException">The disk cannot be read or written.</exception>
    public static PartitionLog Open(
        string directory, Func<PartitionManifest> newManifest, LogOptions? options = null, IStorageFiles? files = null,
        LogSettings? settings = null, LogResources? resources = null)
    {
        options ??= LogOptions.Default;
        files ??= DiskFiles.Instance;
        settings ??= LogSettings.Default;
        resources ??= new LogResources();

        bool created = !files.DirectoryExists(directory);
        if (created)
            files.CreateDirectory(directory);

        // First, because a newer version's directory must not be touched.
        PartitionManifest? manifest = PartitionManifest.TryRead(files, directory);

        // The manifest is what is written last. Where there is none, the directory's own name may not be durable yet.
        if (manifest is null)
            files.SyncDirectory(Path.GetDirectoryName(directory)!);

        RecoveredLog recovered = new LogRecovery(directory, files, options, resources).Recover(created);
        try
        {
            if (manifest is null)
            {
                SetBrokenManifestAside(files, directory);
                manifest = newManifest();
                manifest.Write(files, directory);
                recovered = recovered with { Report = recovered.Report with { NewIncarnation = recovered.End > 0 } };
            }
        }
        catch
        {
            recovered.Active.Dispose();
            throw;
        }

        var log = new PartitionLog(directory, files, options, settings, resources, manifest, recovered);
        log._writer = Task.Run(log.WriteLoopAsync);
        log._syncer = Task.Run(log.SyncLoopAsync);
        return log;
    }

    /// <summary>
    /// Makes the directory of a log that begins at <see cref="PartitionManifest.FirstOffset"/>, so that opening it finds one
    /// that is empty there. Durable on return, its own name excepted.
    /// </summary>
    /// <exception cref="IOException">The disk cannot be written, or the directory is there.</exception>
    public static void Create(string directory, PartitionManifest manifest, IStorageFiles? files = null)
    {
        files ??= DiskFiles.Instance;
        if (files.DirectoryExists(directory))
            throw new IOException($"'{directory}' exists already");

        files.CreateDirectory(directory);
        long first = manifest.FirstOffset;
        new LogCheckpoint(first, first, first, first, 0, IsClean: false).Write(files, directory, sync: true);
        manifest.Write(files, directory);
    }

    private static void SetBrokenManifestAside(IStorageFiles files, string directory)
    {
        string path = Path.Combine(directory, PartitionManifest.FileName);
        if (files.FileExists(path))
            files.Rename(path, path + ".broken");
    }

    /// <summary>Completes once every record below <paramref name="offset"/> is durable.</summary>
    public ValueTask WaitForDurableAsync(long offset, CancellationToken cancellationToken) =>
        _durable.WaitForAsync(offset, cancellationToken);

    /// <summary>Completes once every record below <paramref name="offset"/> is durable at the hub, or noted as lost.</summary>
    public ValueTask WaitForMirroredAsync(long offset, CancellationToken cancellationToken) =>
        _mirrored.WaitForAsync(offset, cancellationToken);

    /// <summary>
    /// What a timestamp of a record means, where this machine gave it before its clock was set. The stored bytes do not change.
    /// </summary>
    public CorrectedTime CorrectTimestamp(long offset, long timestamp) => Clock.Correct(offset, timestamp);

    /// <summary>Takes note of how far the hub is. What lies beyond this log's own durable end is not believed.</summary>
    public void SetMirrored(long offset) => _mirrored.Advance(Math.Min(offset, _durable.Value));

    /// <summary>Keeps a setting with the data, in the manifest; durable on return. For one caller at a time.</summary>
    public void SaveSetting(string name, string? value) => SaveSettings(new Dictionary<string, string?> { [name] = value });

    /// <summary>As <see cref="SaveSetting"/>, several at once; null removes one.</summary>
    public void SaveSettings(IReadOnlyDictionary<string, string?> changes)
    {
        var settings = new Dictionary<string, string>(Manifest.Settings);
        foreach ((string name, string? value) in changes)
        {
            if (value is null)
                settings.Remove(name);
            else
                settings[name] = value;
        }

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
        SyncSoon();
        await _syncer.ConfigureAwait(false);
        if (_failure is null)
            WriteCleanEnd();

        _mirrored.Fail(closed);
        _durable.Fail(closed);
        _end.Fail(closed);
        lock (_segmentsLock)
        {
            _active.Dispose();
            foreach (WritableSegment segment in _sealed)
                segment.Dispose();
        }

        lock (_spaceLock)
            _resources.Budget.Return(SizeInBytes());
    }

    /// <summary>Everything is synced: the next opening need not read the active segment.</summary>
    private void WriteCleanEnd()
    {
        WriteIndex(_active);
        lock (_segmentsLock)
            _durableEnd = _durableEnd with { IsClean = true };

        TryWriteCheckpoint();
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
        SyncSoon();
        return failure;
    }

    private string LogPath(long baseOffset) => Path.Combine(Directory, SegmentFileName.Log(baseOffset));
}
