using System.Diagnostics.CodeAnalysis;

namespace EdgeStream.Testing.Power;

/// <summary>
/// A real ext4 in a file, whose power can be cut. The file lies in memory, so a sync costs no disk and a test may make thousands;
/// what is lost by a cut is the page cache of this file system, as it is in a real one. A disk that lies about its own cache is
/// not shown by this.
/// </summary>
public sealed class LoopFileSystem : IDisposable
{
    private readonly string _directory;
    private readonly TinyFileSystem _memory;
    private bool _mounted;

    private LoopFileSystem(string directory, TinyFileSystem memory)
    {
        _directory = directory;
        _memory = memory;
        Path = System.IO.Path.Combine(directory, "disk");
    }

    /// <summary>Where it is mounted.</summary>
    public string Path { get; }

    private string Image => System.IO.Path.Combine(_memory.Path, "image");

    /// <summary>Makes and mounts it; false, with the reason, where this process may not.</summary>
    public static bool TryCreate(int mebibytes, [NotNullWhen(true)] out LoopFileSystem? disk, out string reason)
    {
        disk = null;
        string directory = OwnedDirectory.Create();
        TinyFileSystem? memory = TinyFileSystem.TryMount(System.IO.Path.Combine(directory, "memory"), (mebibytes + 1) * 1024);
        if (memory is null)
        {
            OwnedDirectory.Delete(directory);
            reason = "mounting a file system needs root";
            return false;
        }

        var made = new LoopFileSystem(directory, memory);
        using (FileStream image = File.Create(made.Image))
            image.SetLength(mebibytes * 1024L * 1024);

        // Blocks of the size that a real disk has, and all tables written now, so that no kernel thread writes them later.
        const string AllAtOnce = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        string? problem = Tool.TryRun("mkfs.ext4", "-q", "-b", "4096", "-E", AllAtOnce, made.Image) ?? made.TryMount();
        if (problem is not null)
            made.Dispose();
        else
            disk = made;

        reason = problem ?? "";
        return problem is null;
    }

    /// <summary>Cuts the power; whatever is open on it is of no use any more.</summary>
    /// <returns>The last moment before the cut, on the clock of <see cref="System.Diagnostics.Stopwatch"/>.</returns>
    public long CutPower(CutKind cut)
    {
        if (!Mounts.IsLoopOf(Path, Image))
            throw new InvalidOperationException($"'{Path}' is not the mount of '{Image}': its power stays on");

        return PowerSwitch.Cut(Path, cut);
    }

    /// <summary>Gives power again: unmounts, and mounts with the recovery of the journal. Nobody has anything open on it.</summary>
    public async Task RestorePowerAsync()
    {
        string? problem = null;
        await Eventually.HoldsAsync(() => (problem = Tool.TryRun("umount", Path)) is null, "nobody has a file of the cut disk open");
        _mounted = false;

        // A container that has just ended may still hold it, in a namespace of its own; mounted now, it would be the one that was cut.
        await Eventually.HoldsAsync(() => !Mounts.HasLoopOf(Image), "nobody else has the cut disk mounted");
        if ((problem = TryMount()) is not null)
            throw new InvalidOperationException(problem);
    }

    public void Dispose()
    {
        if (_mounted)
            Tool.TryRun("umount", "-l", Path);

        _memory.Dispose();
        OwnedDirectory.Delete(_directory);
    }

    private string? TryMount()
    {
        Directory.CreateDirectory(Path);
        string? problem = Tool.TryRun("mount", "-o", "loop", Image, Path);
        _mounted = problem is null;
        return problem;
    }
}
