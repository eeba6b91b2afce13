using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Tools;

/// <summary>What repairing a partition came to.</summary>
/// <param name="Lost">Ranges of offsets that were found to be lost, and are noted as gaps now.</param>
/// <param name="Kept">The files that hold the damaged bytes, with their paths.</param>
/// <param name="TornBytes">Bytes of an interrupted write that were cut off behind the last whole batch; nobody had seen them.</param>
/// <param name="DroppedIndexes">Index files that were damaged and are gone; lookups do without them.</param>
public sealed record RepairOutcome(
    IReadOnlyList<Gap> Lost, IReadOnlyList<string> Kept, long TornBytes, IReadOnlyList<string> DroppedIndexes)
{
    public bool IsNothing => Lost.Count == 0 && Kept.Count == 0 && TornBytes == 0 && DroppedIndexes.Count == 0;
}

/// <summary>
/// Puts a partition in order that no node has open: recovery looks after its tail, and reading all of it makes gaps of what
/// cannot be read. The bytes of what was damaged are kept in the partition's quarantine.
/// </summary>
public static class PartitionRepair
{
    private const int ReadBytes = 1024 * 1024;

    // Damage in the last segment begins a new one; where the disk is nearly full it must not be a large one.
    private static readonly LogOptions Options = new() { PreallocateBytes = 64 * 1024 };

    /// <param name="files">The file system.</param>
    /// <param name="directory">The partition's directory; the caller has the lock on it.</param>
    /// <param name="settings">What the topic says. Its bounds are not kept to: repair drops nothing to make room.</param>
    /// <param name="ageClock">As <see cref="LogResources.AgeClock"/>.</param>
    /// <param name="read">Told how many bytes were read, as it goes on; may throw to end it, which harms nothing.</param>
    /// <exception cref="EdgeStreamException">
    /// The manifest cannot be read, and with it who the partition is: only a node can tell, from its metadata. Or the directory
    /// is of a newer version, or what is lost could not be noted.
    /// </exception>
    /// <exception cref="IOException">The disk cannot be read or written.</exception>
    public static async Task<RepairOutcome> RunAsync(
        IStorageFiles files, string directory, LogSettings settings, Func<long> ageClock, Action<long> read)
    {
        if (PartitionManifest.TryRead(files, directory) is not { } manifest)
        {
            throw new EdgeStreamException(
                $"'{Path.Combine(directory, PartitionManifest.FileName)}' cannot be read; start the node, which makes it anew, and repair then");
        }

        GapLedger before = LedgerFile.Read(files, directory);
        HashSet<string> keptBefore = [.. Kept(files, directory)];
        List<string> dropped = DropDamagedIndexes(files, directory);
        long tornBytes;
        List<Gap> lost;
        await using (PartitionLog log = PartitionLog.Open(
            directory, () => manifest, Options, files, settings with { RetentionBytes = null, RetentionAge = null, Overflow = OverflowPolicy.Reject },
            new LogResources { AgeClock = ageClock }))
        {
            ReadThrough(log, read);
            tornBytes = log.Recovery.TornBytes;
            lost = [.. log.Gaps.SelectMany(gap => before.Uncovered(gap.First, gap.Last).Select(part => Part(gap, part)))];
        }

        return new RepairOutcome(lost, [.. Kept(files, directory).Where(path => !keptBefore.Contains(path))], tornBytes, dropped);
    }

    /// <summary>The reader repairs what it cannot read.</summary>
    private static void ReadThrough(PartitionLog log, Action<long> read)
    {
        using LogReader reader = log.OpenReader(log.Offsets.Start);
        while (true)
        {
            using LogSlice slice = reader.Read(ReadBytes);
            if (slice.IsEmpty)
                return;

            read(slice.Batches.Length);
        }
    }

    /// <summary>What of a gap is new: it may have been joined with an older one.</summary>
    private static Gap Part(Gap gap, (long First, long Last) part) => (gap.First, gap.Last) == part
        ? gap
        : gap with { First = part.First, Last = part.Last, Bytes = 0 };

    /// <summary>A damaged index is passed over by whoever looks something up; without it nobody has to find that out again.</summary>
    private static List<string> DropDamagedIndexes(IStorageFiles files, string directory)
    {
        var dropped = new List<string>();
        foreach ((string name, _) in files.ListFiles(directory))
        {
            string path = Path.Combine(directory, name);
            if (SegmentFileName.TryParseIndex(name, out long baseOffset) && IndexFile.Problem(files, path, baseOffset) is not null)
            {
                files.Delete(path);
                dropped.Add(path);
            }
        }

        return dropped;
    }

    private static IEnumerable<string> Kept(IStorageFiles files, string directory)
    {
        string folder = Path.Combine(directory, Quarantine.FolderName);
        return files.DirectoryExists(folder)
            ? files.ListFiles(folder).Select(file => Path.Combine(folder, file.Name)).Order(StringComparer.Ordinal)
            : [];
    }
}
