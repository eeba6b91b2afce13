namespace EdgeStream.Harness.Network;

/// <summary>
/// A directory in which something may be mounted. It is gone when it is disposed, or else when a later run finds that the process
/// is.
/// </summary>
public sealed class OwnDirectory : IDisposable
{
    public OwnDirectory()
    {
        Leftovers.Remove();
        Path = Directory.CreateDirectory(System.IO.Path.Combine(System.IO.Path.GetTempPath(), Leftovers.NewName())).FullName;
    }

    public string Path { get; }

    public void Dispose() => Leftovers.RemoveDirectory(Path);
}
