using EdgeStream.Harness.Network;

namespace EdgeStream.Packaging.Tests;

/// <summary>The folder that apt installs from.</summary>
public sealed class AptRepositoryTests(DebianSystem debian)
{
    [Fact(Timeout = 240_000)]
    public async Task Apt_installs_from_the_signed_folder_and_refuses_it_where_it_was_changed()
    {
        debian.Require();
        foreach (string tool in (string[])["apt-ftparchive", "gpg"])
            Assert.SkipWhen((await Shell.RunAsync(tool, "--version")).ExitCode == 127, $"{tool} is not installed");

        using var directory = new OwnDirectory();
        string root = directory.Path + "/root", repository = root + "/srv/apt";
        await DebianSystem.UnpackAsync(root);
        Directory.CreateDirectory(directory.Path + "/packages");
        File.Copy(debian.PreviousPackage, directory.Path + "/packages/" + Path.GetFileName(debian.PreviousPackage));
        (await Shell.RunAsync(
            "env", $"APT_KEY_HOME={directory.Path}/key", Repository.At("packaging", "make-apt-repo.sh"), directory.Path + "/packages", repository)).Good();

        using Machine machine = await Machine.BootAsync(root);
        await machine.ShAsync(
            "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; cp /srv/apt/edgestream.gpg /usr/share/keyrings/;"
            + "echo 'deb [signed-by=/usr/share/keyrings/edgestream.gpg] file:/srv/apt stable main' >/etc/apt/sources.list.d/edgestream.list; apt-get update");
        await machine.RunAsync("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", "edgestream");
        Assert.Equal("active", await machine.RunAsync("systemctl", "is-active", "edgestream"));

        await machine.ShAsync("sed -i s/0.0.9/0.1.9/ /srv/apt/dists/stable/InRelease /srv/apt/dists/stable/main/binary-amd64/Packages");
        File.AppendAllText(repository + "/dists/stable/Release", "x");
        File.Delete(repository + "/dists/stable/InRelease");
        Ended refused = await machine.TryAsync("apt-get", "update");
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains("BADSIG", refused.Output, StringComparison.Ordinal);
    }
}
