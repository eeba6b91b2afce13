namespace EdgeStream.Testing.Simulated;

/// <summary>
/// The bytes of one file that are durable, and the changes that are not. Until a sync each sector of the disk may hold any
/// version that the page cache had of it since the last one, whatever the others hold; and so may the length.
/// </summary>
internal sealed class UnsyncedContent(FileContent initial)
{
    private const int SectorSize = 512;

    private readonly FileContent _live = initial.Share();
    private readonly List<(int Index, DiskOperation Operation)> _pending = [];
    private FileContent _durable = initial.Share();

    public void Add(int index, DiskOperation operation)
    {
        _live.Apply(operation);
        _pending.Add((index, operation));
    }

    public void Sync(int covers)
    {
        foreach ((int index, DiskOperation operation) in _pending)
        {
            if (index < covers)
                _durable.Apply(operation);
        }

        _pending.RemoveAll(change => change.Index < covers);
    }

    /// <summary>A sync failed: some of it got to the disk, and the rest will not any more. The page cache still shows all.</summary>
    public void FailSync(Random random)
    {
        _durable = Survivor(random);
        _pending.Clear();
    }

    public FileContent Live() => _live.Share();

    /// <summary>The file as a power cut may leave it.</summary>
    public FileContent Survivor(Random random)
    {
        int all = _pending.Count;
        if (all == 0)
            return _durable.Share();

        // The plain cases are rare where each sector is a toss, and are where mistakes show: nothing, everything, everything
        // up to an instant, the last of it torn; a length without its data.
        int instant = random.Next(all + 1);
        return random.Next(6) switch
        {
            0 => _durable.Share(),
            1 => Build(_ => all, all),
            2 => Build(_ => instant, instant),
            3 => Build(_ => Math.Min(all, instant + random.Next(2)), Math.Min(all, instant + random.Next(2))),
            4 => Build(_ => random.Next(3) == 0 ? 0 : all, all),
            _ => Build(_ => random.Next(all + 1), random.Next(all + 1)),
        };
    }

    private FileContent Build(Func<int, int> versionOfSector, int versionOfLength)
    {
        long size = Math.Max(_durable.Length, _pending.Max(change => change.Operation.Position + change.Operation.Data.Length));
        byte[] bytes = new byte[size];
        _durable.Bytes.CopyTo(bytes);
        int[] versions = [.. Enumerable.Range(0, (int)(size / SectorSize) + 1).Select(versionOfSector)];
        long length = _durable.Length, final = length;
        for (int i = 0; i < _pending.Count; i++)
        {
            DiskOperation change = _pending[i].Operation;
            ApplyBySector(bytes, change, length, sector => i < versions[sector]);
            length = LengthAfter(change, length);
            if (i < versionOfLength)
                final = length;
        }

        bytes.AsSpan((int)final).Clear();
        return new FileContent(bytes, (int)final);
    }

    private static void ApplyBySector(byte[] bytes, DiskOperation change, long length, Func<long, bool> reachedDisk)
    {
        bool cut = change.Kind == OperationKind.Truncate && change.Position < length;
        long end = cut ? length : change.Position + change.Data.Length;
        for (long at = change.Position, next; at < end; at = next)
        {
            next = Math.Min(end, ((at / SectorSize) + 1) * SectorSize);
            if (!reachedDisk(at / SectorSize))
                continue;

            Span<byte> target = bytes.AsSpan((int)at, (int)(next - at));
            if (cut)
                target.Clear();
            else
                change.Data.AsSpan((int)(at - change.Position), target.Length).CopyTo(target);
        }
    }

    private static long LengthAfter(DiskOperation change, long length) =>
        change.Kind == OperationKind.Truncate ? change.Position : Math.Max(length, change.Position + change.Data.Length);
}
