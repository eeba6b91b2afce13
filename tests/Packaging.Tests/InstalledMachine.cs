using EdgeStream.Harness.Network;

namespace EdgeStream.Packaging.Tests;

/// <summary>A machine on which the package was just installed; the tests of a class share it.</summary>
public sealed class InstalledMachine(DebianSystem debian) : IAsyncLifetime
{
    private OwnDirectory? _directory;
    private Machine? _machine;

    /// <summary>What the installation printed.</summary>
    public string Printed { get; private set; } = "";

    /// <summary>Skips the test where there can be none.</summary>
    internal Machine Machine
    {
        get
        {
            debian.Require();
            return _machine!;
        }
    }

    public async ValueTask InitializeAsync()
    {
        if (debian.Obstacle is not null)
            return;

        _directory = new OwnDirectory();
        await DebianSystem.UnpackAsync(_directory.Path + "/root");
        _machine = await Machine.BootAsync(_directory.Path + "/root");
        Printed = (await _machine.InstallAsync(debian.Package)).Good();
    }

    public ValueTask DisposeAsync()
    {
        _machine?.Dispose();
        _directory?.Dispose();
        return ValueTask.CompletedTask;
    }
}
