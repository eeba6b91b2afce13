using EdgeStream.Cluster.Metadata;
using EdgeStream.Storage.Files;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Metadata;

/// <summary>What the metadata store has taken is on the disk; what it could not take it says, and it goes on once it can.</summary>
public sealed class DurableDatabaseTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Each_write_is_in_the_file_when_it_returns()
    {
        string path = _temp.Sub("metadata.db");
        using var store = new LiteDbMetadataStore(path);
        for (int i = 0; i < 20; i++)
        {
            await SaveAsync(store, $"token-{i}");
            Assert.Equal($"token-{i}", await ReadAfterCrashAsync(path, $"copy-{i}"));
        }
    }

    [Fact]
    public async Task Writes_of_many_threads_are_all_there()
    {
        string path = _temp.Sub("metadata.db");
        using (var store = new LiteDbMetadataStore(path))
            Parallel.For(0, 200, i => store.UpdateStartTokensAsync($"site-{i}", _ => new StartTokens($"token-{i}", [$"pending-{i}"])).GetAwaiter().GetResult());

        using var again = new LiteDbMetadataStore(path);
        for (int i = 0; i < 200; i++)
        {
            StartTokens tokens = (await again.FindStartTokensAsync($"site-{i}"))!;
            Assert.Equal(($"token-{i}", $"pending-{i}"), (tokens.Current, Assert.Single(tokens.Pending)));
        }
    }

    [Fact]
    public async Task Full_disk_is_an_error_of_the_write_that_hits_it_and_of_no_other()
    {
        using TinyFileSystem? disk = TinyFileSystem.TryMount(_temp.Sub("disk"), kibibytes: 4096);
        Assert.SkipWhen(disk is null, "file systems cannot be mounted here");

        string path = Path.Combine(disk.Path, "metadata.db");
        using var store = new LiteDbMetadataStore(path);
        await SaveAsync(store, "before");
        disk.TakeRoom();
        for (int i = 0; i < 3; i++)
        {
            IOException error = await Assert.ThrowsAnyAsync<IOException>(() => SaveAsync(store, "refused"));
            Assert.True(DiskErrors.IsFull(error));
            Assert.Contains("the disk is full; free at least", error.Message, StringComparison.Ordinal);
            Assert.Equal("before", (await store.FindStartTokensAsync("north"))!.Current);
            Assert.Equal("before", await ReadAfterCrashAsync(path, $"full-{i}"));
        }

        disk.GiveRoom();
        await SaveAsync(store, "after");
        Assert.Equal("after", await ReadAfterCrashAsync(path, "after"));
    }

    private static Task SaveAsync(LiteDbMetadataStore store, string token) => store.UpdateStartTokensAsync("north", _ => new StartTokens(token, []));

    /// <summary>What another process would find if this one were killed now.</summary>
    private async Task<string> ReadAfterCrashAsync(string path, string name)
    {
        string copy = _temp.Sub(name);
        Directory.CreateDirectory(copy);
        foreach (string file in Directory.GetFiles(Path.GetDirectoryName(path)!, "metadata*"))
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));

        using var store = new LiteDbMetadataStore(Path.Combine(copy, Path.GetFileName(path)));
        return (await store.FindStartTokensAsync("north"))!.Current!;
    }
}
