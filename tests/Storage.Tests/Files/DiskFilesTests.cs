using EdgeStream.Storage.Files;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Files;

public sealed class DiskFilesTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Several_buffers_are_written_one_behind_the_other()
    {
        using ILogFile file = DiskFiles.Instance.Create(_temp.Sub("file"));

        // More buffers than one system call takes.
        byte[] bytes = [.. Enumerable.Range(0, 5000).Select(i => (byte)i)];
        file.Write([.. bytes.Select(b => (ReadOnlyMemory<byte>)new[] { b })], 3);
        file.SyncData();
        byte[] read = new byte[6000];
        Assert.Equal(bytes.Length + 3, file.Length);
        Assert.Equal(bytes.Length, file.Read(read, 3));
        Assert.Equal(bytes, read[..bytes.Length]);
        Assert.Equal(0, file.Read(read, bytes.Length + 3));
    }

    [Fact]
    public void File_that_exists_is_not_created_anew()
    {
        DiskFiles.Instance.Create(_temp.Sub("file")).Dispose();
        Assert.Throws<IOException>(() => DiskFiles.Instance.Create(_temp.Sub("file")));
    }

    [Fact]
    public void Failed_system_calls_are_reported()
    {
        Assert.Throws<IOException>(() => DiskFiles.Instance.SyncDirectory(_temp.Sub("missing")));
        using ILogFile pipe = DiskFiles.Instance.OpenForReading("/proc/self/status");
        IOException error = Assert.Throws<IOException>(pipe.SyncData);
        Assert.Contains("/proc/self/status", error.Message, StringComparison.Ordinal);
        Assert.False(DiskErrors.IsFull(error));
    }

    [Fact]
    public void Real_full_disk_is_recognised()
    {
        using ILogFile full = DiskFiles.Instance.OpenForWriting("/dev/full");
        Assert.True(DiskErrors.IsFull(Assert.Throws<IOException>(() => full.Write([new byte[1]], 0))));
    }

    [Fact]
    public void Removing_what_is_not_there_is_no_error()
    {
        DiskFiles.Instance.Delete(_temp.Sub("missing"));
        DiskFiles.Instance.DeleteDirectory(_temp.Sub("missing"));
    }
}
