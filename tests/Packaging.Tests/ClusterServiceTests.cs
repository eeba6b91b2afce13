using System.Text.Json;
using EdgeStream.Harness.Network;

namespace EdgeStream.Packaging.Tests;

/// <summary>A cluster as the package for data centers starts it: NATS, an SC and an SPU on one machine.</summary>
public sealed class ClusterServiceTests(DebianSystem debian)
{
    private const string Nats = "/usr/sbin/nats-server";
    private const string Hub = "edgestream-hub";
    private const string Sc = "edgestream-sc";
    private const string Spu = "edgestream-spu";
    private const string Connect = "--connect https://127.0.0.1:9443 --cert /root/me/me.crt --key-file /root/me/me.key --ca /root/me/hub-ca.crt";

    [Fact(Timeout = 240_000)]
    public async Task Sc_and_spu_wait_for_nats_serve_in_their_sandbox_and_outlive_a_restart_and_an_outage()
    {
        string package = debian.RequireHubPackage();
        Assert.SkipUnless(File.Exists(Nats), $"{Nats} is not installed");
        using var directory = new OwnDirectory();
        await DebianSystem.UnpackAsync(directory.Path + "/root");
        File.Copy(Nats, directory.Path + "/root" + Nats);
        using Machine machine = await Machine.BootAsync(directory.Path + "/root");
        string printed = (await machine.InstallAsync(package)).Good();
        Assert.Contains("nothing runs yet", printed, StringComparison.Ordinal);
        foreach (string unit in (string[])[Hub, Sc, Spu])
            Assert.Equal("inactive disabled", await StateAsync(machine, unit));

        // Without NATS: both are there, say what they wait for, and are not started again and again.
        await machine.RunAsync("systemctl", "enable", "--now", Sc);
        await machine.ShAsync(
            "edgestream spu certificate 1 --data /var/lib/edgestream-sc --out /etc/edgestream/spu; chown -R edgestream: /etc/edgestream/spu;"
            + "sed -i 's|^#advertise.*|advertise = \"https://127.0.0.1:9444\"|' /etc/edgestream/spu.toml");
        await machine.RunAsync("systemctl", "enable", "--now", Spu);
        await WaitForHealthAsync(machine, Sc, "BAD");
        await WaitForHealthAsync(machine, Spu, "BAD");
        Assert.Contains("no SC", await StatusAsync(machine, Spu), StringComparison.Ordinal);

        await machine.ShAsync($"systemd-run --unit=nats-server {Nats} -js -sd /var/lib/nats -a 127.0.0.1");
        await WaitForHealthAsync(machine, Sc, "good");
        await WaitForHealthAsync(machine, Spu, "good");
        await machine.ShAsync("edgestream topic create readings; edgestream cert issue me --role admin --out /root/me");
        await ProduceAsync(machine, "first");
        await InSandboxAsync(machine, Sc);
        await InSandboxAsync(machine, Spu);

        // Another SC process, the same cluster; the SPU registers with it by itself.
        string process = await machine.PropertyAsync("MainPID", Sc);
        await machine.RunAsync("systemctl", "restart", Sc);
        Assert.NotEqual(process, await machine.PropertyAsync("MainPID", Sc));
        await machine.WaitForAsync("the SPU is there again", async () =>
            (await machine.TryAsync("edgestream", "spu", "list")).Output.Contains("yes", StringComparison.Ordinal));
        await ProduceAsync(machine, "second");

        process = await machine.PropertyAsync("MainPID", Spu);
        await machine.RunAsync("systemctl", "kill", "-s", "SIGSTOP", "nats-server");
        await WaitForHealthAsync(machine, Spu, "BAD");
        await machine.RunAsync("systemctl", "kill", "-s", "SIGCONT", "nats-server");
        await WaitForHealthAsync(machine, Spu, "good");
        await ProduceAsync(machine, "third");
        Assert.Equal(process, await machine.PropertyAsync("MainPID", Spu));
        Assert.Equal("0", await machine.PropertyAsync("NRestarts", Spu));
        Assert.Equal("0", await machine.PropertyAsync("NRestarts", Sc));

        string[] records = (await machine.ShAsync($"edgestream consume readings -B -d {Connect}")).Split('\n');
        Assert.Equal(["first", "second", "third"], records);
        await AnswerAsync(machine);

        await machine.RunAsync("dpkg", "-P", "edgestream-hub");
        await machine.ShAsync("! test -e /var/lib/edgestream-sc; ! test -e /var/lib/edgestream-spu; ! test -e /etc/edgestream; ! test -e /usr/bin/edgestream");
        Assert.Equal("", await machine.ShAsync("find /etc/systemd /var/lib/systemd -name 'edgestream*'"));
    }

    [Fact(Timeout = 240_000)]
    public async Task Upgrade_starts_anew_what_runs_and_nothing_else_and_a_machine_can_change_what_it_is()
    {
        string package = debian.RequireHubPackage();
        using var directory = new OwnDirectory();
        await DebianSystem.UnpackAsync(directory.Path + "/root");
        using Machine machine = await Machine.BootAsync(directory.Path + "/root");
        (await machine.InstallAsync(debian.PreviousHubPackage)).Good();
        await machine.RunAsync("systemctl", "enable", "--now", Hub);
        await machine.ShAsync("edgestream topic create kept; echo '# mine' >>/etc/edgestream/sc.toml");

        string process = await machine.PropertyAsync("MainPID", Hub);
        string upgraded = (await machine.InstallAsync(package)).Good();
        Assert.DoesNotContain("nothing runs yet", upgraded, StringComparison.Ordinal);
        Assert.NotEqual(process, await machine.PropertyAsync("MainPID", Hub));
        Assert.Equal("active enabled", await StateAsync(machine, Hub));
        Assert.Equal("inactive disabled", await StateAsync(machine, Sc));
        Assert.Equal("inactive disabled", await StateAsync(machine, Spu));
        Assert.Contains("kept", await machine.RunAsync("edgestream", "topic", "list"), StringComparison.Ordinal);
        Assert.Contains("# mine", await machine.RunAsync("cat", "/etc/edgestream/sc.toml"), StringComparison.Ordinal);

        // From a hub to an SC; what it was stays off.
        await machine.RunAsync("systemctl", "disable", "--now", Hub);
        await machine.RunAsync("systemctl", "enable", "--now", Sc);
        process = await machine.PropertyAsync("MainPID", Sc);
        (await machine.InstallAsync(package)).Good();
        Assert.NotEqual(process, await machine.PropertyAsync("MainPID", Sc));
        Assert.Equal("active enabled", await StateAsync(machine, Sc));
        Assert.Equal("inactive disabled", await StateAsync(machine, Hub));

        // Removed, it stops and keeps the data; installed again, the machine is what it was from its next boot on.
        await machine.RunAsync("dpkg", "-r", "edgestream-hub");
        Assert.NotEqual("active", (await machine.TryAsync("systemctl", "is-active", Sc)).Output.Trim());
        await machine.ShAsync("test -e /var/lib/edgestream-sc/ca/ca.key; test -d /var/lib/edgestream-hub; ! test -e /usr/bin/edgestream");
        (await machine.InstallAsync(package)).Good();
        Assert.Equal("inactive enabled", await StateAsync(machine, Sc));
        Assert.Equal("inactive disabled", await StateAsync(machine, Hub));
        await machine.RunAsync("systemctl", "start", Sc);
        await machine.RunAsync("dpkg", "-P", "edgestream-hub");
        await machine.ShAsync("! test -e /var/lib/edgestream-sc; ! test -e /var/lib/edgestream-hub; ! test -e /etc/edgestream");
        Assert.Equal("", await machine.ShAsync("find /etc/systemd /var/lib/systemd -name 'edgestream*'"));
    }

    [Fact(Timeout = 240_000)]
    public async Task Package_takes_the_place_of_the_one_for_devices_and_keeps_its_hub()
    {
        string package = debian.RequireHubPackage();
        using var directory = new OwnDirectory();
        await DebianSystem.UnpackAsync(directory.Path + "/root");
        using Machine machine = await Machine.BootAsync(directory.Path + "/root");
        (await machine.InstallAsync(debian.Package)).Good();
        await machine.RunAsync("systemctl", "disable", "--now", "edgestream");
        await machine.RunAsync("systemctl", "enable", "--now", Hub);
        await machine.ShAsync("edgestream topic create kept");

        // As apt does it: the one that is in the way goes.
        File.Copy(package, Path.Combine(machine.Root, "root", "hub.deb"));
        await machine.RunAsync("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--auto-deconfigure", "--force-confold", "-B", "-i", "/root/hub.deb");
        await machine.RunAsync("systemctl", "enable", "--now", "edgestream-hub");
        Assert.Contains("kept", await machine.RunAsync("edgestream", "topic", "list"), StringComparison.Ordinal);

        // What is left of the other's configuration goes without what the two have in common.
        await machine.RunAsync("dpkg", "-P", "edgestream");
        await machine.ShAsync("test -d /var/lib/edgestream-hub; test -e /etc/edgestream/sc.toml; systemctl is-active edgestream-hub");
    }

    [Fact(Timeout = 120_000)]
    public async Task Lintian_has_nothing_to_say()
    {
        Ended report = await Shell.RunAsync("lintian", "--allow-root", debian.RequireHubPackage());
        Assert.SkipWhen(report.ExitCode == 127, report.Output);
        Assert.DoesNotMatch("(?m)^[EWI]:", report.Output);
    }

    /// <summary>What people type, at a program from which the native compiler has left out what it took to be unused.</summary>
    private static async Task AnswerAsync(Machine machine)
    {
        foreach (string command in (string[])
        [
            "status", "spu list", "topology", "topic list", $"geo list {Connect}", $"partition list {Connect}", $"gaps readings {Connect}", $"consumer list {Connect}",
            $"status --socket /run/{Spu}/edgestream.sock",
        ])
        {
            Assert.NotEqual("", await machine.ShAsync($"edgestream {command}"));
            JsonDocument.Parse(await machine.ShAsync($"edgestream {command} -o json")).Dispose();
        }

        Assert.Equal("first\nsecond", await machine.ShAsync($"edgestream consume readings --group one -B -n 2 {Connect}"));
        Assert.Equal("third", await machine.ShAsync($"edgestream consume readings --group one -n 1 {Connect}"));
        Assert.Matches(@"(?m)^one +readings +0 +- +3 +3 +0 ", await machine.ShAsync($"edgestream consumer list {Connect}"));
        await machine.ShAsync(
            """echo '{"partitions":[{"spu":1},{"spu":1}]}' >/root/assign.json; edgestream topic create pinned --assign /root/assign.json; edgestream topic alter pinned --retention-age 1d""");
        await machine.ShAsync("edgestream topic delete pinned --yes; edgestream geo invite berlin; edgestream check --config /etc/edgestream/sc.toml --config-only");

        // An SC's socket leads to no records.
        Ended refused = await machine.TryAsync("edgestream", "consume", "readings", "-B", "-d");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("SPU 1 is reached at https://127.0.0.1:9444 only", refused.Output, StringComparison.Ordinal);
        Assert.Contains("edgestream cert issue NAME", refused.Output, StringComparison.Ordinal);
    }

    private static async Task<string> StateAsync(Machine machine, string unit) =>
        $"{(await machine.TryAsync("systemctl", "is-active", unit)).Output.Trim()} {(await machine.TryAsync("systemctl", "is-enabled", unit)).Output.Trim()}";

    private static Task<string> ProduceAsync(Machine machine, string line) => machine.ShAsync($"echo {line} | edgestream produce readings {Connect}");

    private static async Task<string> StatusAsync(Machine machine, string unit) =>
        (await machine.TryAsync("edgestream", "status", "--socket", $"/run/{unit}/edgestream.sock")).Output;

    private static Task WaitForHealthAsync(Machine machine, string unit, string health) => machine.WaitForAsync(
        $"{unit} is {health}", async () => (await StatusAsync(machine, unit)).Contains($"health: {health}", StringComparison.Ordinal), TimeSpan.FromSeconds(60));

    private static async Task InSandboxAsync(Machine machine, string unit)
    {
        string process = await machine.PropertyAsync("MainPID", unit);
        string status = await machine.RunAsync("cat", $"/proc/{process}/status");
        Assert.Matches(@"NoNewPrivs:\s+1\n", status);
        Assert.Matches(@"Seccomp:\s+2\n", status);
        Assert.Matches(@"CapEff:\s+0+\n", status);
        Assert.Matches(@"CapBnd:\s+0+\n", status);
        Assert.DoesNotMatch(@"Uid:\s+0\s", status);
        string mounts = await machine.RunAsync("cat", $"/proc/{process}/mounts");
        Assert.Matches(@"(?m)^\S+ / \S+ ro[, ]", mounts);
        Assert.Matches($@"(?m)^\S+ /var/lib/{unit} \S+ rw[, ]", mounts);
    }
}
