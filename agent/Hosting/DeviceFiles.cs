using EdgeStream.Devices;
using EdgeStream.Storage.Files;

namespace EdgeStream.Agent.Hosting;

/// <summary>What sources and sinks keep for themselves, in <c>devices/</c> of the data directory.</summary>
internal sealed class DeviceFiles(IStorageFiles files, string dataDirectory, ILogger<DeviceFiles> logger) : IDeviceFiles
{
    private readonly string _directory = Path.Combine(dataDirectory, "devices");
    private readonly Lock _writing = new();

    public byte[]? TryRead(string name, int maxBytes) => SmallFile.TryRead(files, PathOf(name), maxBytes);

    public void Replace(string name, ReadOnlyMemory<byte> contents)
    {
        lock (_writing)
        {
            if (!files.DirectoryExists(_directory))
            {
                files.CreateDirectory(_directory);
                files.SyncDirectory(dataDirectory);
            }

            SmallFile.Replace(files, PathOf(name), contents);
        }
    }

    public void SetAside(string name)
    {
        try
        {
            files.Rename(PathOf(name), PathOf(name) + ".broken");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            logger.LogWarning("'{Path}' cannot be set aside: {Problem}", PathOf(name), error.Message);
        }
    }

    private string PathOf(string name) => Path.Combine(_directory, name);
}
