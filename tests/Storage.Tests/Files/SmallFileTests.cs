using EdgeStream.Storage.Files;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Files;

public sealed class SmallFileTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    private string FilePath => _temp.Sub("file");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Replaced_file_has_the_new_contents_and_no_temporary_one_is_left()
    {
        Replace("old and longer");
        Replace("new");
        Assert.Equal("new", File.ReadAllText(FilePath));
        Assert.Equal("new"u8.ToArray(), SmallFile.TryRead(DiskFiles.Instance, FilePath));
        Assert.Single(Directory.GetFiles(_temp.Path));
    }

    [Theory]
    [InlineData("write")]
    [InlineData("sync")]
    public void Failed_replacement_leaves_the_old_file(string step)
    {
        Replace("old");
        var files = new FaultyFiles();
        if (step == "write")
            files.BeforeWrite = _ => throw FaultyFiles.DiskFull();
        else
            files.BeforeSync = _ => throw FaultyFiles.DiskBroken();

        Assert.Throws<IOException>(() => SmallFile.Replace(files, FilePath, "new"u8.ToArray()));
        Assert.Equal("old", File.ReadAllText(FilePath));
        Replace("newer");
        Assert.Equal("newer", File.ReadAllText(FilePath));
    }

    [Fact]
    public void Missing_or_huge_file_is_not_read()
    {
        Assert.Null(SmallFile.TryRead(DiskFiles.Instance, FilePath));
        File.WriteAllBytes(FilePath, new byte[SmallFile.MaxSize + 1]);
        Assert.Null(SmallFile.TryRead(DiskFiles.Instance, FilePath));
    }

    private void Replace(string contents) =>
        SmallFile.Replace(DiskFiles.Instance, FilePath, System.Text.Encoding.UTF8.GetBytes(contents));
}
