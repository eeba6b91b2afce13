using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Segments;

namespace EdgeStream.Storage.Log;

/// <content>What a reader found damaged becomes a gap, and reading goes on behind it.</content>
public sealed partial class PartitionLog
{
    private readonly Quarantine _quarantine;

    /// <summary>
    /// Takes apart a segment in which something could not be read, and notes what is lost. Blocks on the disk. Nothing happens
    /// where the segment was dropped meanwhile, or repaired by somebody else.
    /// </summary>
    /// <exception cref="PartitionDamagedException">It could not be repaired; nothing was changed.</exception>
    internal void Repair(long baseOffset)
    {
        try
        {
            SealForRepair(baseOffset);
            lock (_spaceLock)
                RepairSealed(baseOffset);
        }
        catch (Exception problem) when (problem is IOException or StorageFullException)
        {
            throw new PartitionDamagedException(
                $"'{Directory}' is damaged in the segment at offset {baseOffset}, and could not be repaired: {problem.Message}");
        }
    }

    private void SealForRepair(long baseOffset)
    {
        lock (_segmentsLock)
        {
            if (UnsyncedSegment(baseOffset) is null)
                return;
        }

        // The calling reader waits for the writer, which waits for no reader.
        Task sealing = TryQueueRoll() ?? throw new PartitionDamagedException($"'{Directory}' is damaged, and stopped for another error before it could be repaired");
        sealing.GetAwaiter().GetResult();
    }

    private void RepairSealed(long baseOffset)
    {
        int index = Array.FindIndex(_segments, segment => segment.BaseOffset == baseOffset);
        if (index < 0 || index == _segments.Length - 1)
            return;

        SegmentInfo damaged = _segments[index];
        long endOffset = _segments[index + 1].BaseOffset;
        var repair = new SegmentRepair(_files, Directory, _quarantine);
        long before = RetainedBytes() + _quarantine.SizeInBytes;
        IReadOnlyList<SegmentInfo> left = repair.Repair(
            damaged, endOffset, (first, last, bytes) => NoteGap(first, last, GapReason.Damage, bytes, (-1, -1)));
        lock (_segmentsLock)
            Volatile.Write(ref _segments, [.. _segments[..index], .. left, .. _segments[(index + 1)..]]);

        _mirrored.Advance(StartOffset);
        _resources.Budget.Add(RetainedBytes() + _quarantine.SizeInBytes - before);
        DamageNoted = true;
    }

    /// <summary>Whether damage was found since the log was opened.</summary>
    public bool DamageNoted { get; private set; }
}
