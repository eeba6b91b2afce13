using EdgeStream.Storage.Files;

namespace EdgeStream.Benchmarks;

/// <summary>The limits beside the log: the same bytes by system calls alone.</summary>
internal static class PlainFiles
{
    /// <summary>Writes buffers one behind the other into a new file; no sync.</summary>
    public static void Write(string path, List<ReadOnlyMemory<byte>> buffers)
    {
        using ILogFile file = DiskFiles.Instance.Create(path);
        long position = 0;
        foreach (ReadOnlyMemory<byte> buffer in buffers)
        {
            file.Write([buffer], position);
            position += buffer.Length;
        }
    }

    /// <summary>As <see cref="Write"/>, with one sync at the end.</summary>
    public static void WriteThenSync(string path, List<ReadOnlyMemory<byte>> buffers)
    {
        Write(path, buffers);
        using ILogFile file = DiskFiles.Instance.OpenForWriting(path);
        file.SyncData();
    }

    /// <summary>Writes and syncs in turn, in commits of one size.</summary>
    public static void WriteAndSync(string path, long bytes, int commitBytes)
    {
        byte[] commit = new byte[commitBytes];
        new Random(17).NextBytes(commit);
        using ILogFile file = DiskFiles.Instance.Create(path);
        for (long position = 0; position < bytes; position += commitBytes)
        {
            file.Write([commit], position);
            file.SyncData();
        }
    }

    /// <summary>Reads the segment files of a directory through.</summary>
    public static void Read(string directory, int chunkBytes)
    {
        byte[] buffer = new byte[chunkBytes];
        foreach (string path in Directory.EnumerateFiles(directory, "*.log"))
        {
            using ILogFile file = DiskFiles.Instance.OpenForReading(path);
            long position = 0;
            int read;
            while ((read = file.Read(buffer, position)) > 0)
                position += read;
        }
    }
}
