namespace EdgeStream.Devices;

/// <summary>
/// Small files that sources and sinks keep from one run of the node to the next. The agent adapts it to the data directory; tests to
/// memory. Safe from any thread.
/// </summary>
public interface IDeviceFiles
{
    /// <summary>A whole file; null where there is none, or where it is larger than is asked for.</summary>
    /// <exception cref="IOException">The disk does not give it.</exception>
    byte[]? TryRead(string name, int maxBytes);

    /// <summary>Replaces a file at once, or not at all; durable when it returns.</summary>
    /// <exception cref="IOException">The disk does not take it. The file is as it was.</exception>
    void Replace(string name, ReadOnlyMemory<byte> contents);

    /// <summary>Puts a damaged file out of the way, for whoever wants to look at it. Where it cannot, it stays; the next one replaces it.</summary>
    void SetAside(string name);
}
