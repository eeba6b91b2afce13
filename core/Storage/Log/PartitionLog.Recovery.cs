using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>
/// Opening. Its work is bounded by the segment size: the active segment and at most <see cref="MaxUnsyncedSegments"/> before
/// it are read through, however long the log is.
/// </content>
public sealed partial class PartitionLog
{
    private sealed record Recovered(ActiveSegment Active, long[] BaseOffsets, long End, long Mirrored, RecoveryReport Report);

    /// <summary>Opens a partition's directory, or makes it.</summary>
    /// <param name="directory">The directory; only one log may have it open, which the caller sees to.</param>
    /// <param name="newManifest">Asked for the manifest where the directory has none that can be read.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="files">The file system.</param>
    /// <exception cref="PartitionDamagedException">What was durable cannot be read any more. Nothing was changed.</exception>
    public static PartitionLog Open(
        string directory, Func<PartitionManifest> newManifest, LogOptions? options = null, IStorageFiles? files = null)
    {
        options ??= LogOptions.Default;
        files ??= DiskFiles.Instance;

        bool created = !files.DirectoryExists(directory);
        if (created)
        {
            files.CreateDirectory(directory);
            files.SyncDirectory(Path.GetDirectoryName(directory)!);
        }

        Recovered recovered = Recover(directory, files, options, created);
        PartitionManifest? manifest = PartitionManifest.TryRead(files, directory);
        if (manifest is null)
        {
            SetBrokenManifestAside(files, directory);
            manifest = newManifest();
            manifest.Write(files, directory);
            recovered = recovered with { Report = recovered.Report with { NewIncarnation = recovered.End > 0 } };
        }

        var log = new PartitionLog(directory, files, options, manifest, recovered);
        log._writer = Task.Run(log.WriteLoopAsync);
        log._syncer = Task.Run(log.SyncLoopAsync);
        return log;
    }

    private static void SetBrokenManifestAside(IStorageFiles files, string directory)
    {
        string path = Path.Combine(directory, PartitionManifest.FileName);
        if (files.FileExists(path))
            files.Rename(path, path + ".broken");
    }

    private static Recovered Recover(string directory, IStorageFiles files, LogOptions options, bool created)
    {
        List<long> baseOffsets = [];
        foreach ((string name, _) in files.ListFiles(directory))
        {
            if (SegmentFileName.TryParseLog(name, out long baseOffset))
                baseOffsets.Add(baseOffset);
        }

        baseOffsets.Sort();
        LogCheckpoint checkpoint = LogCheckpoint.TryRead(files, directory) ?? default;
        if (baseOffsets.Count == 0)
        {
            if (checkpoint.RecoveryPoint > 0)
            {
                throw new PartitionDamagedException(
                    $"'{directory}' held records up to offset {checkpoint.RecoveryPoint}, but its segment files are gone");
            }

            ActiveSegment first = CreateSegment(files, directory, 0, options);
            return new Recovered(first, [0], 0, 0, new RecoveryReport(created, 0, 0, 0));
        }

        return ScanTail(directory, files, options, baseOffsets, checkpoint);
    }

    private static Recovered ScanTail(
        string directory, IStorageFiles files, LogOptions options, List<long> baseOffsets, LogCheckpoint checkpoint)
    {
        int scanFrom = Math.Max(
            Math.Max(0, baseOffsets.Count - 1 - MaxUnsyncedSegments),
            baseOffsets.FindLastIndex(offset => offset <= checkpoint.RecoveryPoint));
        int scanned = 0;
        long bytes = 0, torn = 0, end = baseOffsets[scanFrom];
        ActiveSegment? active = null;
        try
        {
            for (int i = scanFrom; i < baseOffsets.Count; i++)
            {
                long baseOffset = baseOffsets[i];
                if (baseOffset != end)
                {
                    // The segment before was cut, or never written to its end: what comes after it was never durable.
                    RefuseIfDurable(directory, checkpoint, end);
                    torn += DropFrom(directory, files, baseOffsets, i);
                    break;
                }

                // What replaces `active` stays readable on disk, and is whole: it was scanned to its end.
                active?.Index.WriteFiles(files, directory, active.BaseOffset);
                active?.Dispose();
                ILogFile file = files.OpenForWriting(Path.Combine(directory, SegmentFileName.Log(baseOffset)));
                active = new ActiveSegment(baseOffset, file, options.IndexIntervalBytes);
                end = SegmentScanner.Scan(active);
                scanned++;
                bytes += active.Position;

                long surplus = file.Length - active.Position;
                if (surplus > 0)
                {
                    RefuseIfDurable(directory, checkpoint, end);
                    file.Truncate(active.Position);
                    torn += surplus;
                }

                // What a crashed process had written may not have been synced; it is about to be called durable.
                file.SyncData();
            }

            RefuseIfDurable(directory, checkpoint, end);
            files.SyncDirectory(directory);
            return new Recovered(
                active!, [.. baseOffsets], end, checkpoint.Mirrored, new RecoveryReport(false, scanned, bytes, torn));
        }
        catch
        {
            active?.Dispose();
            throw;
        }
    }

    /// <summary>Cutting is for what was never durable. Damage below the recovery point is not for an automatic cut.</summary>
    private static void RefuseIfDurable(string directory, LogCheckpoint checkpoint, long end)
    {
        if (end < checkpoint.RecoveryPoint)
        {
            throw new PartitionDamagedException(
                $"'{directory}' is damaged at offset {end}: records up to {checkpoint.RecoveryPoint} had been stored. "
                + "Nothing was changed; keep a copy of the directory");
        }
    }

    private static long DropFrom(string directory, IStorageFiles files, List<long> baseOffsets, int first)
    {
        long bytes = 0;
        foreach (long baseOffset in baseOffsets[first..])
        {
            string path = Path.Combine(directory, SegmentFileName.Log(baseOffset));
            using (ILogFile file = files.OpenForReading(path))
                bytes += file.Length;

            files.Delete(path);
        }

        baseOffsets.RemoveRange(first, baseOffsets.Count - first);
        return bytes;
    }
}
