using EdgeStream.Storage.Files;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Files;

/// <summary>The simulated disk does what a real one does, and a crash of it leaves what a real one may leave.</summary>
public class SimulatedDiskTests
{
    private const string Directory = SimulatedDisk.Root;
    private const string PathA = Directory + "/a";
    private const string PathB = Directory + "/b";

    private readonly SimulatedDisk _disk = new();

    [Fact]
    public void Open_file_outlives_its_name()
    {
        using ILogFile file = _disk.Create(PathA);
        Write(file, 0, 1, 100);
        _disk.Rename(PathA, PathB);
        Write(file, 100, 2, 10);
        using ILogFile reader = _disk.OpenForReading(PathB);
        Assert.Equal(110, reader.Length);
        _disk.Delete(PathB);
        Assert.False(_disk.FileExists(PathB));
        Assert.Equal(10, reader.Read(new byte[50], 100));
    }

    [Fact]
    public void Allocation_and_truncation_leave_zeros()
    {
        using ILogFile file = _disk.Create(PathA);
        Write(file, 0, 1, 100);
        file.Truncate(50);
        file.Allocate(200);
        byte[] bytes = new byte[200];
        Assert.Equal(200, file.Read(bytes, 0));
        Assert.Equal(1, bytes[49]);
        Assert.All(bytes[50..], value => Assert.Equal(0, value));
    }

    [Fact]
    public void Power_cut_leaves_each_sector_as_it_once_was()
    {
        using (ILogFile file = _disk.Create(PathA))
        {
            Write(file, 0, 1, 2048);
            file.SyncData();
            _disk.SyncDirectory(Directory);
            Write(file, 100, 2, 1900);
            Write(file, 500, 3, 600);
        }

        var seen = new HashSet<string>();
        foreach (byte[] bytes in Cuts(CrashModel.Strict).Select(image => Bytes(image, PathA)!))
        {
            Assert.All(bytes[..100], value => Assert.Equal(1, value));

            // Bytes 500 to 511 are in the sector of those before them: what is newer brings what is older.
            Assert.True(bytes[511] != 3 || bytes[110] == 2);
            seen.Add($"{bytes[499]}{bytes[511]}{bytes[600]}{bytes[1030]}{bytes[1900]}");
        }

        Assert.Contains("11111", seen);
        Assert.Contains("23332", seen);
        Assert.True(seen.Count > 10);
    }

    [Fact]
    public void Power_cut_may_leave_a_length_without_its_data()
    {
        using (ILogFile file = _disk.Create(PathA))
        {
            _disk.SyncDirectory(Directory);
            Write(file, 0, 1, 1000);
        }

        byte[][] images = [.. Cuts(CrashModel.Journaled).Select(image => Bytes(image, PathA)!)];
        Assert.Contains(images, bytes => bytes.Length == 0);
        Assert.Contains(images, bytes => bytes.Length == 1000 && bytes.All(value => value == 0));
        Assert.Contains(images, bytes => bytes.Length == 1000 && bytes.All(value => value == 1));
    }

    [Theory]
    [InlineData(CrashModel.Journaled, false)]
    [InlineData(CrashModel.Strict, true)]
    public void Synced_file_may_lose_its_name_under_posix_alone(CrashModel model, bool expected)
    {
        using (ILogFile file = _disk.Create(PathA))
            file.SyncData();

        Assert.Equal(expected, Cuts(model).Any(image => !image.FileExists(PathA)));
    }

    [Fact]
    public void Rename_survives_as_a_whole_or_not_at_all()
    {
        Put(PathA, 1);
        Put(PathB, 2);
        _disk.Rename(PathA, PathB);
        IEnumerable<string> seen = Cuts(CrashModel.Strict).Select(image => $"{Bytes(image, PathA)?[0]}/{Bytes(image, PathB)?[0]}");
        Assert.Equal(["/1", "1/2"], seen.Distinct().Order());
    }

    [Fact]
    public void Later_sync_does_not_make_up_for_a_failed_one()
    {
        using (ILogFile file = _disk.Create(PathA))
        {
            _disk.SyncDirectory(Directory);
            Write(file, 0, 1, 1000);
            _disk.Faults = new FaultPlan(0, FaultyFiles.DiskBroken, kind => kind == OperationKind.Sync);
            Assert.Throws<IOException>(file.SyncData);
            file.SyncData();
        }

        IEnumerable<SimulatedDisk> images = Enumerable.Range(0, 50).Select(seed => AtEnd(CrashModel.Strict, seed).PowerCut(new Random(seed)));
        Assert.Contains(images, image => Bytes(image, PathA)!.Length == 0);
        Assert.Equal(1000, Bytes(AtEnd(CrashModel.Strict, 1).Killed(), PathA)!.Length);
    }

    private void Put(string path, byte value)
    {
        using ILogFile file = _disk.Create(path);
        Write(file, 0, value, 10);
        file.SyncData();
        _disk.SyncDirectory(Directory);
    }

    private IEnumerable<SimulatedDisk> Cuts(CrashModel model)
    {
        CrashState state = AtEnd(model, 1);
        var random = new Random(1);
        return Enumerable.Range(0, 300).Select(_ => state.PowerCut(random));
    }

    private CrashState AtEnd(CrashModel model, int seed)
    {
        var state = new CrashState(_disk, model, seed);
        while (state.Advance())
        {
        }

        return state;
    }

    private static byte[]? Bytes(SimulatedDisk disk, string path) => SmallFile.TryRead(disk, path);

    private static void Write(ILogFile file, long position, byte value, int count) =>
        file.Write([Enumerable.Repeat(value, count).ToArray()], position);
}
