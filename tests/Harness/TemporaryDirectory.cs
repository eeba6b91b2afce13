namespace EdgeStream.Harness;

/// <summary>A directory that is gone when the test is over.</summary>
public sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("edgestream-").FullName;

    public string At(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose()
    {
        try
        {
            Directory.Delete(Path, recursive: true);
        }
        catch (IOException)
        {
            // A process that is about to die may still write into it.
        }
    }
}
