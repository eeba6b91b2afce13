using System.Buffers.Binary;
using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Time;

/// <summary>
/// The file <c>clock</c> of a partition: anchors, appended. Appending does not sync: what a power cut takes with it is the end,
/// and with it no more than corrections. For one thread at a time.
/// </summary>
/// <remarks>
/// Magic "ESLC" u32, version u32 (1), big-endian; then <see cref="ClockAnchor"/>s to the end. The first that cannot be read ends
/// it, and is overwritten. A file of another version counts as empty.
/// </remarks>
internal sealed class AnchorFile(IStorageFiles files, string directory) : IAnchorStore
{
    public const string FileName = "clock";

    /// <summary>Anchors in the file, those that nobody needs any more included.</summary>
    public const int MaxAnchors = 1000;

    private const uint Magic = 0x45534C43;
    private const uint Version = 1;
    private const int HeaderSize = 8;

    private readonly string _path = Path.Combine(directory, FileName);

    /// <summary>How many anchors the file holds.</summary>
    public int Count { get; private set; }

    /// <summary>The good anchors at the beginning of the file; none where there is no file.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public IReadOnlyList<ClockAnchor> Load()
    {
        Count = 0;
        List<ClockAnchor> anchors = [];
        ReadOnlySpan<byte> rest = ReadBeginning();
        if (rest.Length < HeaderSize
            || BinaryPrimitives.ReadUInt32BigEndian(rest) != Magic || BinaryPrimitives.ReadUInt32BigEndian(rest[4..]) != Version)
        {
            return anchors;
        }

        for (rest = rest[HeaderSize..]; ClockAnchor.TryRead(rest, out ClockAnchor anchor); rest = rest[ClockAnchor.Size..])
            anchors.Add(anchor);

        Count = anchors.Count;
        return anchors;
    }

    /// <summary>Writes an anchor behind the good ones. What was torn there is gone.</summary>
    /// <exception cref="IOException">The anchor may be torn now, those before it are not.</exception>
    public void Append(ClockAnchor anchor)
    {
        byte[] bytes = Encode([anchor]);
        using ILogFile file = files.FileExists(_path) ? files.OpenForWriting(_path) : files.Create(_path);
        int position = Count == 0 ? 0 : HeaderSize + (Count * ClockAnchor.Size);
        if (file.Length > position)
            file.Truncate(position);

        file.Write([Count == 0 ? bytes : bytes.AsMemory(HeaderSize)], position);
        Count++;
    }

    /// <summary>Puts these anchors in the place of all. Durable on return: it is rare, and all of them are at stake.</summary>
    /// <exception cref="IOException">The file is as it was, or is the new one.</exception>
    public void Replace(IReadOnlyList<ClockAnchor> anchors)
    {
        SmallFile.Replace(files, _path, Encode(anchors));
        Count = anchors.Count;
    }

    private static byte[] Encode(IReadOnlyList<ClockAnchor> anchors)
    {
        byte[] bytes = new byte[HeaderSize + (anchors.Count * ClockAnchor.Size)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), Version);
        for (int i = 0; i < anchors.Count; i++)
            anchors[i].Write(bytes.AsSpan(HeaderSize + (i * ClockAnchor.Size)));

        return bytes;
    }

    /// <summary>As much of the file as can be anchors: garbage behind them, of whatever length, costs neither memory nor them.</summary>
    private byte[] ReadBeginning()
    {
        if (!files.FileExists(_path))
            return [];

        using ILogFile file = files.OpenForReading(_path);
        byte[] contents = new byte[Math.Min(file.Length, HeaderSize + (MaxAnchors * ClockAnchor.Size))];
        int filled = 0;
        for (int read; filled < contents.Length && (read = file.Read(contents.AsSpan(filled), filled)) > 0; filled += read)
        {
        }

        return contents[..filled];
    }
}
