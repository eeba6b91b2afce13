using EdgeStream.Harness.Network;

namespace EdgeStream.Packaging.Tests;

/// <summary>The package's life on a machine.</summary>
public sealed class UpgradeTests(DebianSystem debian)
{
    private const string Main = "/etc/edgestream/edgestream.toml";

    [Fact(Timeout = 240_000)]
    public async Task Upgrade_keeps_data_and_configuration_removal_keeps_data_and_purging_takes_all()
    {
        debian.Require();
        using var directory = new OwnDirectory();
        await DebianSystem.UnpackAsync(directory.Path + "/root");
        using Machine machine = await Machine.BootAsync(directory.Path + "/root");

        (await machine.InstallAsync(debian.PreviousPackage)).Good();
        await machine.ProduceAsync("of the version before");
        await machine.ShAsync($"echo '# mine' >>{Main}; echo '[[topic]]\nname = \"own\"' >/etc/edgestream/edgestream.d/own.toml");

        string process = await machine.PropertyAsync("MainPID");
        string upgraded = (await machine.InstallAsync(debian.Package)).Good();
        Assert.DoesNotContain("edgestream join", upgraded, StringComparison.Ordinal);
        Assert.NotEqual(process, await machine.PropertyAsync("MainPID"));
        Assert.Equal("running", await machine.PropertyAsync("SubState"));
        Assert.Contains("of the version before", await machine.ConsumeAsync(), StringComparison.Ordinal);
        Assert.Contains("# mine", await machine.RunAsync("cat", Main), StringComparison.Ordinal);
        Assert.Contains("own", await machine.RunAsync("edgestream", "topic", "list"), StringComparison.Ordinal);

        // With an error in the configuration, what runs goes on.
        process = await machine.PropertyAsync("MainPID");
        await machine.ShAsync($"echo 'nonsense = 1' >/etc/edgestream/edgestream.d/own.toml");
        upgraded = (await machine.InstallAsync(debian.Package)).Good();
        Assert.Contains("own.toml:1: nonsense: there is no such key", upgraded, StringComparison.Ordinal);
        Assert.Contains("the edge is left as it is", upgraded, StringComparison.Ordinal);
        Assert.Equal(process, await machine.PropertyAsync("MainPID"));
        Assert.Equal("install ok installed", await machine.RunAsync("dpkg-query", "-W", "-f", "${Status}", "edgestream"));
        await machine.ProduceAsync("in spite of the error");
        await machine.RunAsync("rm", "/etc/edgestream/edgestream.d/own.toml");

        // Turned off, it stays off.
        await machine.RunAsync("systemctl", "disable", "--now", "edgestream");
        (await machine.InstallAsync(debian.Package)).Good();
        Assert.Equal("inactive", (await machine.TryAsync("systemctl", "is-active", "edgestream")).Output.Trim());
        await machine.RunAsync("systemctl", "enable", "--now", "edgestream");

        await machine.RunAsync("dpkg", "-r", "edgestream");
        Assert.NotEqual("active", (await machine.TryAsync("systemctl", "is-active", "edgestream")).Output.Trim());
        await machine.RunAsync("test", "-d", "/var/lib/edgestream/topics/readings");
        (await machine.InstallAsync(debian.Package)).Good();
        string kept = await machine.ConsumeAsync();
        Assert.Contains("of the version before", kept, StringComparison.Ordinal);
        Assert.Contains("in spite of the error", kept, StringComparison.Ordinal);

        await machine.RunAsync("dpkg", "-P", "edgestream");
        await machine.ShAsync("! test -e /var/lib/edgestream; ! test -e /etc/edgestream; ! test -e /usr/bin/edgestream");
        Assert.Equal("", await machine.ShAsync("find /etc/systemd /var/lib/systemd -name 'edgestream*'"));
    }

    [Fact(Timeout = 240_000)]
    public async Task Upgrade_on_a_full_disk_is_refused_and_what_runs_goes_on_and_loses_nothing()
    {
        debian.Require();
        using Device device = await Device.CreateAsync();
        using Machine machine = await device.BootAsync();
        (await machine.InstallAsync(debian.PreviousPackage)).Good();
        await machine.ProduceAsync("before");
        string process = await machine.PropertyAsync("MainPID");

        // The archive comes from elsewhere; on this disk there is no room for it, nor for anything else.
        File.Copy(debian.Package, Path.Combine(machine.Root, "root", "new.deb"));
        await machine.TryAsync("sh", "-c", "dd if=/dev/zero of=/fill bs=1M 2>/dev/null; dd if=/dev/zero of=/fill2 bs=1k 2>/dev/null");
        Ended refused = await machine.TryAsync("dpkg", "-i", "/root/new.deb");
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains("No space left on device", refused.Output, StringComparison.Ordinal);
        Assert.Equal(process, await machine.PropertyAsync("MainPID"));
        Assert.Contains("before", await machine.ConsumeAsync(), StringComparison.Ordinal);

        // Its segment was allocated when there was room.
        await machine.ProduceAsync("while it was full");
        await machine.ShAsync("rm /fill /fill2");
        await machine.RunAsync("dpkg", "-i", "/root/new.deb");
        await machine.WaitForPropertyAsync("SubState", "running");
        string kept = await machine.ConsumeAsync();
        Assert.Contains("before", kept, StringComparison.Ordinal);
        Assert.Contains("while it was full", kept, StringComparison.Ordinal);
    }
}
