using System.Diagnostics;
using EdgeStream.Storage;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests;

public sealed class DataDirectoryTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Directory_is_made_and_can_be_opened_again_after_closing()
    {
        for (int i = 0; i < 2; i++)
        {
            using DataDirectory directory = DataDirectory.Open(_temp.Sub("a/b"));
            Assert.True(Directory.Exists(directory.Path));
        }
    }

    [Fact]
    public void Directory_in_use_is_refused_and_the_owner_is_named()
    {
        using DataDirectory first = DataDirectory.Open(_temp.Path);
        string message = Assert.Throws<EdgeStreamException>(() => DataDirectory.Open(_temp.Path)).Message;
        Assert.Contains("in use by another process", message, StringComparison.Ordinal);
        Assert.Contains($"{Environment.ProcessId}", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Lock_of_another_process_counts_and_ends_with_it()
    {
        File.WriteAllText(_temp.Sub("lock"), "");
        using var other = Process.Start(new ProcessStartInfo("flock", [_temp.Sub("lock"), "-c", "echo locked; read line"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        Assert.Equal("locked", other.StandardOutput.ReadLine());
        Assert.Contains("in use", Assert.Throws<EdgeStreamException>(() => DataDirectory.Open(_temp.Path)).Message, StringComparison.Ordinal);

        other.StandardInput.Close();
        other.WaitForExit();
        DataDirectory.Open(_temp.Path).Dispose();
    }

    [Fact]
    public void Path_below_a_regular_file_is_refused_with_the_reason()
    {
        File.WriteAllText(_temp.Sub("file"), "");
        Assert.Contains("cannot be written", Assert.Throws<EdgeStreamException>(() => DataDirectory.Open(_temp.Sub("file/data"))).Message, StringComparison.Ordinal);
        Assert.Contains("cannot be written", Assert.Throws<EdgeStreamException>(() => DataDirectory.Open(_temp.Sub("file"))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Read_only_directory_is_refused_with_the_reason()
    {
        using TinyFileSystem? disk = TinyFileSystem.TryMount(_temp.Sub("disk"), 64);
        Assert.SkipWhen(disk is null, "mounting a file system needs root");
        DataDirectory.Open(disk.Path).Dispose();
        disk.MakeReadOnly();
        Assert.Contains("cannot be written", Assert.Throws<EdgeStreamException>(() => DataDirectory.Open(disk.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Full_disk_does_not_keep_the_node_from_starting()
    {
        using TinyFileSystem? disk = TinyFileSystem.TryMount(_temp.Sub("disk"), 64);
        Assert.SkipWhen(disk is null, "mounting a file system needs root");
        File.WriteAllText(Path.Combine(disk.Path, "lock"), "");
        Assert.Throws<IOException>(() => File.WriteAllBytes(Path.Combine(disk.Path, "ballast"), new byte[128 * 1024]));
        DataDirectory.Open(disk.Path).Dispose();
    }
}
