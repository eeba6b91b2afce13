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
    internal void Repair(long baseOffset) => Repair(baseOffset, condemned: null);

    /// <summary>
    /// Takes a batch out of the log as though it were damaged: it becomes a gap (<see cref="GapReason.Refused"/>), durably, and
    /// its bytes are kept aside where there is room. Blocks on the disk.
    /// </summary>
    /// <param name="first">The batch's first offset.</param>
    /// <param name="last">Its last one.</param>
    /// <exception cref="OffsetOutOfRangeException">The log does not hold it any more.</exception>
    /// <exception cref="PartitionDamagedException">The disk failed; nothing was changed.</exception>
    public void Condemn(long first, long last)
    {
        if (_ledger.Uncovered(first, last).Count > 0)
            Repair(FindSegment(first).BaseOffset, (first, last));
    }

    private void Repair(long baseOffset, (long First, long Last)? condemned)
    {
        try
        {
            SealForRepair(baseOffset);
            lock (_spaceLock)
                RepairSealed(baseOffset, condemned);
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

    private void RepairSealed(long baseOffset, (long First, long Last)? condemned)
    {
        int index = Array.FindIndex(_segments, segment => segment.BaseOffset == baseOffset);
        if (index < 0 || index == _segments.Length - 1)
            return;

        SegmentInfo damaged = _segments[index];
        long endOffset = _segments[index + 1].BaseOffset;
        var repair = new SegmentRepair(_files, Directory, _quarantine);
        long before = RetainedBytes() + _quarantine.SizeInBytes;
        bool foundDamage = false;
        IReadOnlyList<SegmentInfo> left = repair.Repair(damaged, endOffset, NoteLost, condemned);
        lock (_segmentsLock)
            Volatile.Write(ref _segments, [.. _segments[..index], .. left, .. _segments[(index + 1)..]]);

        _mirrored.Advance(StartOffset);
        _resources.Budget.Add(RetainedBytes() + _quarantine.SizeInBytes - before);
        DamageNoted |= foundDamage;

        void NoteLost(long first, long last, long bytes)
        {
            bool isCondemned = condemned == (first, last);
            foundDamage |= !isCondemned;
            NoteGap(first, last, isCondemned ? GapReason.Refused : GapReason.Damage, bytes, (-1, -1));
        }
    }

    /// <summary>Whether damage was found since the log was opened.</summary>
    public bool DamageNoted { get; private set; }
}
