using EdgeStream.Storage.Files;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Gaps;

/// <summary>
/// Takes a damaged segment apart: good batches behind the damage get a file of their own, what is damaged is kept aside and
/// noted. Can be interrupted anywhere and begun again.
/// </summary>
/// <param name="files">The file system.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="quarantine">Where damaged bytes go.</param>
internal sealed class SegmentRepair(IStorageFiles files, string directory, Quarantine quarantine)
{
    public const string TemporaryExtension = ".repair";

    private const int ChunkSize = 256 * 1024;

    /// <summary>
    /// Order: damaged bytes aside → good batches in their files, synced, named → <paramref name="noteGap"/> → the damaged file
    /// cut at its first damage, or away.
    /// </summary>
    /// <param name="segment">The segment; sealed and synced.</param>
    /// <param name="endOffset">Where the next segment starts; null where this is the last.</param>
    /// <param name="noteGap">Told each lost range (first, last, bytes); it is durable when that returns.</param>
    /// <param name="condemned">Offsets of a batch that is to count as damaged though it is not.</param>
    /// <returns>What the segment has become; empty where nothing of it was good.</returns>
    public IReadOnlyList<SegmentInfo> Repair(
        SegmentInfo segment, long? endOffset, Action<long, long, long> noteGap, (long First, long Last)? condemned = null)
    {
        string path = Path.Combine(directory, SegmentFileName.Log(segment.BaseOffset));
        if (!files.FileExists(path))
        {
            if (endOffset is { } next)
                noteGap(segment.BaseOffset, next - 1, 0);

            return [];
        }

        List<BatchRun> runs;
        using (var salvaged = new SalvagedFile(files.OpenForReading(path)))
        {
            runs = SegmentScanner.FindRuns(salvaged, 0, segment.BaseOffset, endOffset ?? long.MaxValue);
            if (condemned is var (firstCondemned, lastCondemned))
                runs = [.. runs.SelectMany(run => Without(salvaged, run, firstCondemned, lastCondemned))];

            List<(long First, long Last, long Position, long EndPosition)> holes = Holes(runs, segment.BaseOffset, endOffset, salvaged.Length);
            if (runs.Count > 0)
            {
                foreach ((long first, _, long position, long endPosition) in holes)
                    quarantine.TryKeep(salvaged, position, endPosition, first);
            }

            foreach (BatchRun run in runs.Where(run => run.Position > 0))
                CopyRun(salvaged, run);

            if (runs.Any(run => run.Position > 0))
                files.SyncDirectory(directory);

            foreach ((long first, long last, long position, long endPosition) in holes)
                noteGap(first, last, endPosition - position);
        }

        DropIndex(segment.BaseOffset);
        if (runs.Count > 0 && runs[0].Position == 0)
            Cut(path, runs[0].EndPosition);
        else if (runs.Count == 0 || runs[0].First != segment.BaseOffset)
            quarantine.Move(path, segment.BaseOffset, segment.Bytes);

        return [.. runs.Select(run => new SegmentInfo(run.First, run.EndPosition - run.Position))];
    }

    /// <summary>What is left of a run without the batches that hold some offsets: what lies before them, and behind.</summary>
    private static IEnumerable<BatchRun> Without(SalvagedFile file, BatchRun run, long first, long last)
    {
        if (last < run.First || first >= run.Next)
            return [run];

        BatchRun before = SegmentScanner.Scan(file, run.Position, run.First, endOffset: first);
        BatchRun condemned = SegmentScanner.Scan(file, before.EndPosition, before.Next, endOffset: last + 1);
        BatchRun behind = run with { Position = condemned.EndPosition, First = condemned.Next };
        return ((BatchRun[])[before, behind]).Where(part => !part.IsEmpty);
    }

    private static List<(long First, long Last, long Position, long EndPosition)> Holes(
        List<BatchRun> runs, long baseOffset, long? endOffset, long length)
    {
        var holes = new List<(long First, long Last, long Position, long EndPosition)>();
        long expected = baseOffset, position = 0;
        foreach (BatchRun run in runs)
        {
            if (run.First > expected)
                holes.Add((expected, run.First - 1, position, run.Position));

            (expected, position) = (run.Next, run.EndPosition);
        }

        if (endOffset is { } end && expected < end)
            holes.Add((expected, end - 1, position, length));

        return holes;
    }

    /// <summary>Complete under another name before it gets its own, so that a segment's file never holds half of a run.</summary>
    private void CopyRun(SalvagedFile source, BatchRun run)
    {
        string path = Path.Combine(directory, SegmentFileName.Log(run.First));
        string temporary = path + TemporaryExtension;
        files.Delete(temporary);
        using (ILogFile copy = files.Create(temporary))
        {
            byte[] buffer = new byte[ChunkSize];
            for (long done = 0, length = run.EndPosition - run.Position; done < length;)
            {
                int read = source.Read(buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - done)), run.Position + done);
                copy.Write([buffer.AsMemory(0, read)], done);
                done += read;
            }

            copy.SyncData();
        }

        files.Rename(temporary, path);
    }

    private void Cut(string path, long length)
    {
        using ILogFile file = files.OpenForWriting(path);
        file.Truncate(length);
        file.SyncData();
    }

    private void DropIndex(long baseOffset)
    {
        files.Delete(Path.Combine(directory, SegmentFileName.OffsetIndex(baseOffset)));
        files.Delete(Path.Combine(directory, SegmentFileName.TimeIndex(baseOffset)));
    }
}
