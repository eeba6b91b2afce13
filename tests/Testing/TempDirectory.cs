namespace EdgeStream.Testing;

/// <summary>An empty directory that is gone after the test.</summary>
public sealed class TempDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("edgestream-test-").FullName;

    public string Sub(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>Names and contents of the files in a directory, to see that nothing was changed.</summary>
    public static IReadOnlyDictionary<string, string> Snapshot(string directory) =>
        Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories)
            .ToDictionary(file => file[directory.Length..], file => Convert.ToHexString(File.ReadAllBytes(file)));

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
