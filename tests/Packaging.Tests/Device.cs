using EdgeStream.Testing.Power;

namespace EdgeStream.Packaging.Tests;

/// <summary>A device with a disk of its own, whose power can be cut.</summary>
internal sealed class Device : IDisposable
{
    private const int DiskMebibytes = 700;

    private readonly LoopFileSystem _disk;

    private Device(LoopFileSystem disk) => _disk = disk;

    public static async Task<Device> CreateAsync()
    {
        bool root = LoopFileSystem.TryCreate(DiskMebibytes, out LoopFileSystem? disk, out string reason);
        Assert.SkipUnless(root, reason);
        try
        {
            await DebianSystem.UnpackAsync(disk!.Path);
            return new Device(disk);
        }
        catch
        {
            disk!.Dispose();
            throw;
        }
    }

    public Task<Machine> BootAsync() => Machine.BootAsync(_disk.Path);

    /// <summary>Cuts the power, and gives it again: the machine is gone, and what was not synced with it.</summary>
    public async Task CutPowerAsync(Machine machine, CutKind kind)
    {
        _disk.CutPower(kind);
        machine.Dispose();
        await _disk.RestorePowerAsync();
    }

    public void Dispose() => _disk.Dispose();
}
