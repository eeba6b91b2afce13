using EdgeStream.Storage.Files;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Tools;

/// <summary>
/// Reads all files of one partition and finds what is wrong with them. Changes nothing, needs no lock, and may run while a node
/// writes, drops and repairs.
/// </summary>
public sealed class PartitionCheck
{
    private static readonly TimeSpan SecondLookAfter = TimeSpan.FromMilliseconds(200);

    private readonly IStorageFiles _files;
    private readonly string _directory;
    private readonly Action<long> _read;
    private readonly List<PartitionProblem> _problems = [];
    private readonly List<(SegmentFile Segment, SegmentPart Part)> _damage = [];
    private long _batches;
    private long _records;
    private long _bytes;
    private int _withoutIndex;

    private PartitionCheck(IStorageFiles files, string directory, Action<long> read)
    {
        _files = files;
        _directory = directory;
        _read = read;
    }

    /// <param name="files">The file system.</param>
    /// <param name="directory">The partition's directory.</param>
    /// <param name="read">Told how many bytes of the segment files are done with, as it goes on; may throw to end it.</param>
    /// <exception cref="IOException">The directory cannot be listed.</exception>
    public static PartitionFindings Run(IStorageFiles files, string directory, Action<long>? read = null)
    {
        read ??= static _ => { };
        PartitionFindings findings = new PartitionCheck(files, directory, read).Look();
        if (findings.Problems.Count == 0)
            return findings;

        // A node may change files while they are read. What is really wrong is found in the same place again, after a while that
        // is long beside what a write takes.
        Thread.Sleep(SecondLookAfter);
        PartitionFindings again = new PartitionCheck(files, directory, _ => read(0)).Look();
        return again with { Problems = [.. again.Problems.Intersect(findings.Problems)] };
    }

    private PartitionFindings Look()
    {
        // Before the segments: what is durable by now is there when they are read.
        LogCheckpoint? checkpoint = ReadCheckpoint();
        CheckManifest();
        IReadOnlyList<SegmentFile> segments = PartitionFiles.Segments(_files, _directory);
        long next = segments.Count > 0 ? segments[0].BaseOffset : 0;
        foreach (SegmentFile segment in segments)
            next = CheckSegment(segment, checkpoint?.Durable ?? 0);

        // Behind them: a gap is noted before the files show it.
        GapLedger? ledger = ReadLedger();
        foreach ((SegmentFile segment, SegmentPart part) in _damage)
            AddUnlessKnown(ledger, segment.Path, part);

        if (segments.Count == 0)
            _problems.Add(new PartitionProblem(_directory, null, null, null, "there is no segment file"));
        else if (ReadCheckpoint(isSecond: true) is { } now && now.Start < segments[0].BaseOffset)
            AddMissing(ledger, now.Start, segments[0].BaseOffset);

        return new PartitionFindings(
            segments.Count, _batches, _records, _bytes, segments.Count > 0 ? segments[0].BaseOffset : 0, next, _withoutIndex,
            ledger?.Gaps ?? [], _problems);
    }

    private LogCheckpoint? ReadCheckpoint(bool isSecond = false)
    {
        string path = Path.Combine(_directory, LogCheckpoint.FileName);
        LogCheckpoint? checkpoint = null;
        string? problem = Try(() => checkpoint = LogCheckpoint.TryRead(_files, _directory));
        if (problem is null && checkpoint is null && _files.FileExists(path))
            problem = "the checkpoint cannot be read";

        if (problem is not null && !isSecond)
            _problems.Add(new PartitionProblem(path, null, null, null, problem));

        return checkpoint;
    }

    private void CheckManifest()
    {
        PartitionManifest? manifest = null;
        string? problem = Try(() => manifest = PartitionManifest.TryRead(_files, _directory));
        if (problem is null && manifest is null)
            problem = "the manifest is missing or cannot be read";

        if (problem is not null)
            _problems.Add(new PartitionProblem(Path.Combine(_directory, PartitionManifest.FileName), null, null, null, problem));
    }

    private GapLedger? ReadLedger()
    {
        string path = Path.Combine(_directory, GapLedger.FileName);
        GapLedger? ledger = null;
        string? problem = Try(() =>
        {
            foreach (long position in LedgerFile.DamagedEntries(_files, _directory))
                _problems.Add(new PartitionProblem(path, position, null, null, "an entry of the ledger of gaps cannot be read"));

            ledger = LedgerFile.Read(_files, _directory);
        });
        if (problem is not null)
            _problems.Add(new PartitionProblem(path, null, null, null, problem));

        return ledger;
    }

    /// <summary>The result is the offset behind the segment's last good record.</summary>
    private long CheckSegment(SegmentFile segment, long durable)
    {
        long done = 0, next = segment.BaseOffset;
        string? problem = Try(() =>
        {
            Dictionary<long, long> indexed = CheckIndex(segment);
            using var walk = new SegmentWalk(
                _files.OpenForReading(segment.Path), segment.BaseOffset, segment.EndOffset, segment.IsLast ? durable : segment.EndOffset);
            foreach (SegmentPart part in walk.Parts())
            {
                if (part.IsGood)
                    next = Count(part);
                else
                    _damage.Add((segment, part));

                bool isIndexed = indexed.Remove(part.Position, out long offset);
                if (part.IsGood && isIndexed && offset != part.First)
                    AddIndexProblem(segment, part.Position, offset);

                _read(part.EndPosition - done);
                done = part.EndPosition;
            }

            foreach ((long position, long offset) in indexed.Where(entry => entry.Key < walk.Position && !IsDamaged(segment, entry.Key)))
                AddIndexProblem(segment, position, offset);

            if (next > segment.EndOffset)
            {
                _problems.Add(new PartitionProblem(
                    segment.Path, walk.Position, segment.EndOffset, next - 1, "the next segment has these offsets as well"));
            }
        });
        if (problem is not null)
            _problems.Add(new PartitionProblem(segment.Path, null, null, null, problem));

        _read(segment.Bytes - done);
        return next;
    }

    private long Count(in SegmentPart batch)
    {
        _batches++;
        _records += batch.Next - batch.First;
        _bytes += batch.EndPosition - batch.Position;
        return batch.Next;
    }

    private Dictionary<long, long> CheckIndex(SegmentFile segment)
    {
        string[] paths = [.. ((string[])[SegmentFileName.OffsetIndex(segment.BaseOffset), SegmentFileName.TimeIndex(segment.BaseOffset)])
            .Select(name => Path.Combine(_directory, name))];
        foreach (string path in paths)
        {
            if (IndexFile.Problem(_files, path, segment.BaseOffset) is { } problem)
                _problems.Add(new PartitionProblem(path, null, null, null, problem));
        }

        // The last segment gets its index when the next one starts.
        if (!segment.IsLast && !Array.TrueForAll(paths, path => IndexFile.Exists(_files, path)))
            _withoutIndex++;

        return IndexFile.OffsetsByPosition(_files, _directory, segment.BaseOffset);
    }

    private bool IsDamaged(SegmentFile segment, long position) => _damage.Exists(damage =>
        damage.Segment == segment && position >= damage.Part.Position && position < damage.Part.EndPosition);

    private void AddIndexProblem(SegmentFile segment, long position, long offset) => _problems.Add(new PartitionProblem(
        Path.Combine(_directory, SegmentFileName.OffsetIndex(segment.BaseOffset)), null, offset, offset,
        $"the index says that the batch starts at byte {position} of the segment, which it does not"));

    private void AddUnlessKnown(GapLedger? ledger, string path, in SegmentPart part)
    {
        if (part.First == part.Next)
            _problems.Add(new PartitionProblem(path, part.Position, null, null, part.Problem!));

        foreach ((long first, long last) in Uncovered(ledger, part.First, part.Last))
            _problems.Add(new PartitionProblem(path, part.Position, first, last, part.Problem!));
    }

    private void AddMissing(GapLedger? ledger, long start, long firstThere)
    {
        foreach ((long first, long last) in Uncovered(ledger, start, firstThere - 1))
        {
            string path = Path.Combine(_directory, SegmentFileName.Log(first));
            _problems.Add(new PartitionProblem(path, null, first, last, "the segment is missing"));
        }
    }

    private static IReadOnlyList<(long First, long Last)> Uncovered(GapLedger? ledger, long first, long last) =>
        ledger?.Uncovered(first, last) ?? [(first, last)];

    /// <summary>Does something with files; the result is what kept it from being done.</summary>
    private static string? Try(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or EdgeStreamException)
        {
            return error.Message;
        }
    }
}
