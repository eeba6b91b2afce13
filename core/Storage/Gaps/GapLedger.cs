using System.Buffers.Binary;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Gaps;

/// <summary>
/// The durable ledger of one partition's gaps. A gap is durable before anything is done that makes it one. Reading is safe from
/// any thread; the log lets one thread at a time add.
/// </summary>
/// <remarks>
/// <para>
/// File <c>gaps</c>: a header of 64 bytes (magic "ESGL" u32, version u32, zeros), then entries of 64 bytes: first i64, last
/// i64, bytes i64, min and max timestamp i64, noted at i64, reason u32, zeros, CRC-32C u32 of all before it. Big-endian. An
/// entry of zeros is free: the file is allocated in steps, so that a gap can be noted on a full disk.
/// </para>
/// <para>
/// Gaps that touch and have one reason are one gap. When the file is full its entries are joined that way, in place: a full disk
/// has no room for a second file, and it is on a full disk that gaps come by the hundred.
/// </para>
/// </remarks>
public sealed class GapLedger
{
    public const string FileName = "gaps";

    private const uint Magic = 0x4553474C;
    private const uint Version = 1;
    private const int EntrySize = 64;
    private const int CrcPosition = EntrySize - sizeof(uint);
    private const int StepBytes = 4096;
    private const int SectorSize = 512;
    private const int EntriesPerSector = SectorSize / EntrySize;

    // Four million gaps. Beyond that nothing more may be dropped: a log with so many holes needs a person.
    private const int MaxFileSize = 256 * 1024 * 1024;

    private readonly IStorageFiles _files;
    private readonly string _path;

    // Replaced as a whole, so that readers need no lock.
    private KnownGaps _known;

    // Which of the file's entries are free. A damaged one is not: what is beside it is not to be put at risk again.
    private bool[] _isUsed;
    private long _length;

    // No entry before it is free.
    private int _freeFrom;

    private GapLedger(IStorageFiles files, string path, Gap[] gaps, bool[] isUsed, long length)
    {
        _files = files;
        _path = path;
        _known = new KnownGaps(gaps, gaps.Length);
        _isUsed = isUsed;
        _length = length;
    }

    /// <summary>Ascending, without overlaps; a snapshot, of which the last may still grow.</summary>
    public IReadOnlyList<Gap> Gaps => Known.AsList();

    /// <summary><see cref="Gaps"/>, to be asked where they lie.</summary>
    public KnownGaps Known => Volatile.Read(ref _known);

    /// <summary>Bytes of the ledger's file.</summary>
    public long SizeInBytes => Volatile.Read(ref _length);

    /// <summary>Reads a partition's ledger, or makes it. Entries that cannot be read are passed over.</summary>
    /// <exception cref="EdgeStreamException">It was written by a newer version of this program.</exception>
    public static GapLedger Open(IStorageFiles files, string directory)
    {
        string path = Path.Combine(directory, FileName);
        byte[]? contents = SmallFile.TryRead(files, path, MaxFileSize);
        if (contents is not null)
            return OpenFrom(files, path, contents);

        // One that is too large to be ours is kept, for whoever wants to look.
        if (files.FileExists(path))
            files.Rename(path, path + ".broken");

        var ledger = new GapLedger(files, path, [], [], 0);
        ledger.Rewrite([]);
        return ledger;
    }

    private static GapLedger OpenFrom(IStorageFiles files, string path, byte[] contents)
    {
        bool hasHeader = contents.Length >= EntrySize && BinaryPrimitives.ReadUInt32BigEndian(contents) == Magic;
        if (hasHeader && BinaryPrimitives.ReadUInt32BigEndian(contents.AsSpan(4)) is > Version and var version)
        {
            throw new EdgeStreamException(
                $"'{path}' has format version {version}, this program knows up to {Version}: "
                + "start the version of edgestream that wrote it, or a newer one");
        }

        // Each entry proves itself: a damaged header or end costs none of the others.
        GapLedger known = Parse(files, path, contents);
        if (!hasHeader || contents.Length < StepBytes)
            known.Rewrite([.. known.Gaps]);
        else if (known._isUsed.Contains(true))
            known.WriteAgain(contents);

        return known;
    }

    /// <summary>The gap that an offset lies in.</summary>
    public Gap? Find(long offset) => FindNext(offset) is { } gap && gap.First <= offset ? gap : null;

    /// <summary>The gap that an offset lies in, or the next one behind it.</summary>
    public Gap? FindNext(long offset)
    {
        KnownGaps known = Known;
        int at = known.FirstEndingAtOrBehind(offset);
        return at < known.Count ? known[at] : null;
    }

    /// <summary>Notes a gap, less what is noted already; durable on return.</summary>
    /// <exception cref="IOException">It could not be noted; nothing may be dropped.</exception>
    public void Add(Gap gap)
    {
        foreach ((long first, long last) in Uncovered(gap.First, gap.Last))
            AddUncovered([gap with { First = first, Last = last }]);
    }

    /// <summary>
    /// Notes gaps that follow each other, less what is noted already; durable on return. One write and one sync for all of them: a
    /// power cut in between may keep any of them.
    /// </summary>
    /// <exception cref="IOException">They could not be noted.</exception>
    public void Add(IReadOnlyList<Gap> gaps)
    {
        Gap[] uncovered = [.. gaps.SelectMany(gap => Uncovered(gap.First, gap.Last).Select(part => gap with { First = part.First, Last = part.Last }))];
        if (uncovered.Length == 0)
            return;

        try
        {
            AddUncovered(uncovered);
        }
        catch (IOException) when (uncovered.Length > 1)
        {
            // On a full disk there may be room for each of them that there is not for all of them in a row.
            foreach (Gap gap in uncovered)
                AddUncovered([gap]);
        }
    }

    /// <summary>
    /// Takes the front of a gap back: its records turned out to be at the hub. Durable on return; a power cut before leaves the gap
    /// as it was. Writes the whole ledger.
    /// </summary>
    /// <param name="gap">One of <see cref="Gaps"/>.</param>
    /// <param name="first">Where it begins from now on.</param>
    public void Shorten(Gap gap, long first)
    {
        Gap[] gaps = [.. Gaps];
        int at = Array.IndexOf(gaps, gap);
        if (at < 0 || first <= gap.First || first > gap.Last)
            throw new ArgumentException($"no gap begins before {first} and goes on there", nameof(gap));

        gaps[at] = gap with { First = first };
        Rewrite(gaps);
    }

    /// <inheritdoc cref="KnownGaps.Uncovered"/>
    public IReadOnlyList<(long First, long Last)> Uncovered(long first, long last) => Known.Uncovered(first, last);

    /// <summary>
    /// What was read is about to be acted upon, and may be in the page cache only: a sync may have failed since the machine was
    /// started. The same bytes go to the same place, so that a power cut meanwhile harms none.
    /// </summary>
    private void WriteAgain(byte[] contents)
    {
        using ILogFile file = _files.OpenForWriting(_path);
        file.Write([contents], 0);
        file.SyncData();
    }

    private void AddUncovered(Gap[] gaps)
    {
        KnownGaps after = gaps.Aggregate(_known, (known, gap) => known.With(gap));
        int free = FindFree(gaps.Length);
        if (free < 0 && after.Count <= EntriesPerSector)
        {
            JoinInPlace(after.ToArray());
            return;
        }

        if (free < 0 && 2 * (after.Count + 1) * EntrySize <= _length)
        {
            Rewrite(after.ToArray());
            return;
        }

        if (free < 0)
        {
            free = Array.LastIndexOf(_isUsed, true) + 1;
            Grow(PositionOf(free + gaps.Length) - _length);
        }

        byte[] entries = new byte[gaps.Length * EntrySize];
        for (int i = 0; i < gaps.Length; i++)
            WriteEntry(entries.AsSpan(i * EntrySize, EntrySize), gaps[i]);

        using (ILogFile file = _files.OpenForWriting(_path))
        {
            file.Write([entries], PositionOf(free));
            file.SyncData();
        }

        Array.Fill(_isUsed, true, free, gaps.Length);
        Volatile.Write(ref _known, after);
    }

    /// <summary>The first of so many free entries in a row; negative where there are not so many.</summary>
    private int FindFree(int count)
    {
        int first = _isUsed.AsSpan(_freeFrom).IndexOf(false);
        _freeFrom = first < 0 ? _isUsed.Length : _freeFrom + first;
        int free = _isUsed.AsSpan(_freeFrom).IndexOf(new bool[count]);
        return free < 0 ? free : _freeFrom + free;
    }

    /// <summary>
    /// Puts all gaps into the last sector, which a disk writes wholly or not at all, and then frees the other entries. In between,
    /// and whichever of them a power cut brings back, they say nothing that the last sector does not.
    /// </summary>
    private void JoinInPlace(Gap[] gaps)
    {
        byte[] sector = new byte[SectorSize];
        for (int i = 0; i < gaps.Length; i++)
            WriteEntry(sector.AsSpan(i * EntrySize, EntrySize), gaps[i]);

        using ILogFile file = _files.OpenForWriting(_path);
        file.Write([sector], _length - SectorSize);
        file.SyncData();
        Volatile.Write(ref _known, new KnownGaps(gaps, gaps.Length));
        file.Write([new byte[_length - SectorSize - EntrySize]], EntrySize);
        file.SyncData();
        Array.Clear(_isUsed);
        Array.Fill(_isUsed, true, _isUsed.Length - EntriesPerSector, gaps.Length);
        _freeFrom = 0;
    }

    private static long PositionOf(int entry) => EntrySize * (1L + entry);

    /// <summary>By whole steps.</summary>
    private void Grow(long bytes)
    {
        long length = _length + ((bytes + StepBytes - 1) / StepBytes * StepBytes);
        if (length > MaxFileSize)
            throw new IOException($"'{_path}' has {_isUsed.Length} gaps, and no more can be noted; nothing more is dropped from this log");

        using ILogFile file = _files.OpenForWriting(_path);
        file.Allocate(length);
        file.SyncData();
        Volatile.Write(ref _length, length);
        Array.Resize(ref _isUsed, EntriesIn(_length));
    }

    private static int EntriesIn(long length) => (int)(length / EntrySize) - 1;

    private void Rewrite(Gap[] gaps)
    {
        long used = EntrySize * (1L + gaps.Length);
        byte[] contents = new byte[(used + StepBytes - 1) / StepBytes * StepBytes];
        BinaryPrimitives.WriteUInt32BigEndian(contents, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(contents.AsSpan(4), Version);
        for (int i = 0; i < gaps.Length; i++)
            WriteEntry(contents.AsSpan(EntrySize * (1 + i), EntrySize), gaps[i]);

        SmallFile.Replace(_files, _path, contents);
        _isUsed = new bool[EntriesIn(contents.Length)];
        Array.Fill(_isUsed, true, 0, gaps.Length);
        _freeFrom = 0;
        Volatile.Write(ref _length, contents.Length);
        Volatile.Write(ref _known, new KnownGaps(gaps, gaps.Length));
    }

    private static GapLedger Parse(IStorageFiles files, string path, byte[] contents)
    {
        var gaps = new List<Gap>();

        // A file that was cut to an odd length is taken as if it ended with its last whole step.
        bool[] isUsed = new bool[Math.Max(0, EntriesIn(contents.Length / StepBytes * StepBytes))];
        for (int i = 0; PositionOf(i + 1) <= contents.Length; i++)
        {
            ReadOnlySpan<byte> entry = contents.AsSpan((int)PositionOf(i), EntrySize);
            if (!entry.ContainsAnyExcept((byte)0))
                continue;

            if (i < isUsed.Length)
                isUsed[i] = true;

            if (TryReadEntry(entry) is { } gap)
                gaps.Add(gap);
        }

        return new GapLedger(files, path, KnownGaps.Merge(gaps), isUsed, contents.Length / StepBytes * StepBytes);
    }

    private static void WriteEntry(Span<byte> entry, Gap gap)
    {
        BinaryPrimitives.WriteInt64BigEndian(entry, gap.First);
        BinaryPrimitives.WriteInt64BigEndian(entry[8..], gap.Last);
        BinaryPrimitives.WriteInt64BigEndian(entry[16..], gap.Bytes);
        BinaryPrimitives.WriteInt64BigEndian(entry[24..], gap.MinTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(entry[32..], gap.MaxTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(entry[40..], gap.NotedAt);
        BinaryPrimitives.WriteUInt32BigEndian(entry[48..], (uint)gap.Reason);
        BinaryPrimitives.WriteUInt32BigEndian(entry[CrcPosition..], Crc32C.Compute(entry[..CrcPosition]));
    }

    private static Gap? TryReadEntry(ReadOnlySpan<byte> entry)
    {
        if (BinaryPrimitives.ReadUInt32BigEndian(entry[CrcPosition..]) != Crc32C.Compute(entry[..CrcPosition]))
            return null;

        var gap = new Gap(
            BinaryPrimitives.ReadInt64BigEndian(entry),
            BinaryPrimitives.ReadInt64BigEndian(entry[8..]),
            BinaryPrimitives.ReadInt64BigEndian(entry[16..]),
            BinaryPrimitives.ReadInt64BigEndian(entry[24..]),
            BinaryPrimitives.ReadInt64BigEndian(entry[32..]),
            (GapReason)BinaryPrimitives.ReadUInt32BigEndian(entry[48..]),
            BinaryPrimitives.ReadInt64BigEndian(entry[40..]));
        return gap.First >= 0 && gap.Last >= gap.First ? gap : null;
    }
}
