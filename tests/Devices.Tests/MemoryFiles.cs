using System.Collections.Concurrent;

namespace EdgeStream.Devices.Tests;

/// <summary>What sources keep from one run to the next, in memory.</summary>
internal sealed class MemoryFiles : IDeviceFiles
{
    private int _writes;

    public ConcurrentDictionary<string, byte[]> Contents { get; } = [];

    /// <summary>Whether it is as a disk that is full.</summary>
    public bool IsFull { get; set; }

    public int Writes => Volatile.Read(ref _writes);

    public byte[]? TryRead(string name, int maxBytes) =>
        Contents.TryGetValue(name, out byte[]? contents) && contents.Length <= maxBytes ? contents : null;

    public void Replace(string name, ReadOnlyMemory<byte> contents)
    {
        if (IsFull)
            throw new IOException("no space left on device");

        Contents[name] = contents.ToArray();
        Interlocked.Increment(ref _writes);
    }

    public void SetAside(string name)
    {
        if (Contents.TryRemove(name, out byte[]? damaged))
            Contents[name + ".broken"] = damaged;
    }
}
