using System.Globalization;
using System.Text.RegularExpressions;

namespace EdgeStream.Packaging.Tests;

/// <summary>The edge as the package starts it.</summary>
public sealed class ServiceTests(InstalledMachine installed) : IClassFixture<InstalledMachine>
{
    private const string DropIn = "/etc/edgestream/edgestream.d/test.toml";
    private const double WorstExposure = 2.0;
    private static readonly string[] StopOrder = ["sources", "uplinks", "sinks", "API", "log"];

    private Machine Machine => installed.Machine;

    [Fact(Timeout = 120_000)]
    public async Task Installation_starts_the_edge_alone_and_says_what_is_next()
    {
        Assert.Equal("active", await Machine.RunAsync("systemctl", "is-active", "edgestream"));
        Assert.Equal("enabled", await Machine.RunAsync("systemctl", "is-enabled", "edgestream"));
        Assert.Equal("disabled", (await Machine.TryAsync("systemctl", "is-enabled", "edgestream-hub")).Output.Trim());
        Assert.Contains("edgestream join HUB:9443", installed.Printed, StringComparison.Ordinal);
        Assert.Contains("edgestream status", installed.Printed, StringComparison.Ordinal);
        Assert.Contains("health: good", await Machine.RunAsync("edgestream", "status"), StringComparison.Ordinal);
        await Machine.WaitForAsync("the unit has a status", async () =>
            (await Machine.PropertyAsync("StatusText")).StartsWith("joined no hub, ", StringComparison.Ordinal));
    }

    [Fact(Timeout = 120_000)]
    public async Task Service_is_in_its_sandbox()
    {
        string process = await Machine.PropertyAsync("MainPID");
        string status = await Machine.RunAsync("cat", $"/proc/{process}/status");
        Assert.Matches(@"NoNewPrivs:\s+1\n", status);
        Assert.Matches(@"Seccomp:\s+2\n", status);
        Assert.Matches(@"CapEff:\s+0+\n", status);
        Assert.Matches(@"CapBnd:\s+0+\n", status);
        Assert.DoesNotMatch(@"Uid:\s+0\s", status);

        string mounts = await Machine.RunAsync("cat", $"/proc/{process}/mounts");
        Assert.Matches(@"(?m)^\S+ / \S+ ro[, ]", mounts);
        Assert.Matches(@"(?m)^\S+ /var/lib/edgestream \S+ rw[, ]", mounts);
        Assert.Equal("closed", await Machine.PropertyAsync("DevicePolicy"));
        Assert.Contains("char-gpiochip rw", await Machine.PropertyAsync("DeviceAllow"), StringComparison.Ordinal);
        Assert.DoesNotContain("network-online", await Machine.RunAsync("systemctl", "list-dependencies", "edgestream"), StringComparison.Ordinal);
    }

    [Theory(Timeout = 120_000)]
    [InlineData("edgestream")]
    [InlineData("edgestream-hub")]
    public async Task Systemd_finds_little_exposed(string unit)
    {
        string report = await Machine.RunAsync("systemd-analyze", "security", "--no-pager", unit);
        Match exposure = Regex.Match(report, @"Overall exposure level for \S+: (\d+\.\d+)");
        Assert.True(exposure.Success, report);
        double level = double.Parse(exposure.Groups[1].Value, CultureInfo.InvariantCulture);
        Assert.True(level <= WorstExposure, report);
    }

    [Fact(Timeout = 120_000)]
    public async Task Killed_service_is_back_with_what_it_had_acknowledged()
    {
        await Machine.ProduceAsync("before the crash");
        int restarts = await RestartsAsync();
        await Machine.RunAsync("kill", "-9", await Machine.PropertyAsync("MainPID"));
        await Machine.WaitForAsync("it was restarted", async () => await RestartsAsync() > restarts && await Machine.PropertyAsync("SubState") == "running");
        Assert.Contains("before the crash", await Machine.ConsumeAsync(), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Journal_has_levels_and_fields()
    {
        await WriteDropInAsync("""[[source.mqtt]]\nbroker = "mqtt://127.0.0.1:1"\nsubscribe = [{ filter = "a", topic = "readings" }]""");
        await Machine.RunAsync("systemctl", "reload", "edgestream");

        // A field that the message names, and a warning as such.
        await Machine.WaitForAsync("the journal has the warning", async () =>
            (await Machine.TryAsync("journalctl", "-p", "warning", "--no-pager", "-o", "cat", "EDGESTREAM_KIND=source", "EDGESTREAM_NAME=mqtt://127.0.0.1:1"))
            .Output.Contains("waits: ", StringComparison.Ordinal));
        await RemoveDropInAsync();
    }

    [Fact(Timeout = 120_000)]
    public async Task Program_is_a_source_inside_the_sandbox()
    {
        await WriteDropInAsync(
            """[[source.command]]\ncommand = ["/bin/sh", "-c", "touch /etc/mine 2>/dev/null || echo read-only as $(id -un); exec sleep 1000"]\ntopic = "readings" """);
        await Machine.RunAsync("systemctl", "reload", "edgestream");
        await Machine.WaitForAsync("its line is stored", async () =>
            (await Machine.ConsumeAsync()).Contains("read-only as edgestream", StringComparison.Ordinal));
        await RemoveDropInAsync();
    }

    [Fact(Timeout = 120_000)]
    public async Task Wrong_type_in_a_drop_in_keeps_the_old_configuration_at_a_reload()
    {
        await Machine.WaitForPropertyAsync("SubState", "running");
        await WriteDropInAsync("""[[source.gpio]]\nline = "17"\ntopic = "readings" """);
        string process = await Machine.PropertyAsync("MainPID");
        await Machine.RunAsync("systemctl", "reload", "edgestream");
        await Machine.WaitForAsync("the status has the problem", async () =>
            (await Machine.RunAsync("edgestream", "status")).Contains($"{DropIn}:2: ", StringComparison.Ordinal));
        Assert.Contains($"the one before goes on: {DropIn}:2: source.gpio.line", await Machine.JournalAsync(), StringComparison.Ordinal);
        Assert.Equal(process, await Machine.PropertyAsync("MainPID"));
        await Machine.ProduceAsync("still here");

        await RemoveDropInAsync();
        Assert.Contains("health: good", await Machine.RunAsync("edgestream", "status"), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Configuration_error_at_the_start_leaves_the_last_good_one_in_force_and_is_told_everywhere()
    {
        await Machine.WaitForPropertyAsync("SubState", "running");
        await WriteDropInAsync("budgt = 1");
        await Machine.RunAsync("systemctl", "restart", "edgestream");
        int restarts = await RestartsAsync();
        const string Problem = $"the last good one goes on: {DropIn}:1: budgt: there is no such key";
        await Machine.WaitForAsync("the journal has the error", async () => (await Machine.JournalAsync()).Contains(Problem, StringComparison.Ordinal));
        await Machine.WaitForAsync("the unit's status has it", async () =>
            (await Machine.PropertyAsync("StatusText")).Contains(Problem, StringComparison.Ordinal));
        string status = await Machine.RunAsync("edgestream", "status");
        Assert.Contains("health: BAD", status, StringComparison.Ordinal);
        Assert.Contains(Problem, status, StringComparison.Ordinal);
        await Machine.ProduceAsync("on the last good configuration");

        // One start, no loop.
        Assert.Equal(restarts, await RestartsAsync());
        Assert.Equal("600", await Machine.RunAsync("stat", "-c", "%a", "/var/lib/edgestream/last-good/configuration.tar"));
        await RemoveDropInAsync();
    }

    [Fact(Timeout = 120_000)]
    public async Task Second_start_is_refused_in_one_line_and_changes_nothing()
    {
        await Machine.WaitForPropertyAsync("SubState", "running");
        string process = await Machine.PropertyAsync("MainPID");
        await Machine.RunAsync("systemctl", "start", "edgestream");
        Ended second = await Machine.TryAsync("runuser", "-u", "edgestream", "--", "edgestream", "run", "--http", "none");
        Assert.Equal(1, second.ExitCode);
        Assert.Matches(@"(?m)^edgestream: .*in use by another process", second.Output);
        Assert.Equal(process, await Machine.PropertyAsync("MainPID"));
        await Machine.ProduceAsync("one of us");
    }

    [Fact(Timeout = 120_000)]
    public async Task Stop_is_orderly_and_keeps_what_was_acknowledged()
    {
        await Machine.WaitForPropertyAsync("SubState", "running");
        await Machine.ProduceAsync("before the stop");
        await Machine.RunAsync("systemctl", "stop", "edgestream");
        Assert.Equal("success", await Machine.PropertyAsync("Result"));
        string[] stopped = [];
        await Machine.WaitForAsync("the journal has the last of it", async () =>
        {
            stopped = [.. (await Machine.JournalAsync()).Split('\n').Where(line => line.Contains("stopped: ", StringComparison.Ordinal)).TakeLast(StopOrder.Length)];
            return stopped is [.., var last] && last.EndsWith(StopOrder[^1], StringComparison.Ordinal);
        });
        Assert.Equal(StopOrder, stopped.Select(line => line.Split("stopped: ")[1].Trim()));
        Assert.Equal("inactive", (await Machine.TryAsync("systemctl", "is-active", "edgestream")).Output.Trim());
        await Machine.RunAsync("systemctl", "start", "edgestream");
        Assert.Contains("before the stop", await Machine.ConsumeAsync(), StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Hub_of_the_same_package_takes_what_the_edge_has()
    {
        await Machine.WaitForPropertyAsync("SubState", "running");
        await Machine.ProduceAsync("for the hub");
        await Machine.RunAsync("systemctl", "start", "edgestream-hub");
        await Machine.ShAsync(
            "edgestream join 127.0.0.1:9443 --token $(edgestream geo invite berlin-7 --socket /run/edgestream-hub/edgestream.sock 2>/dev/null)");
        await Machine.WaitForAsync("all is mirrored", async () =>
            (await Machine.RunAsync("edgestream", "status")).Contains("all is mirrored", StringComparison.Ordinal));

        // Where no edge runs, the commands find the hub.
        await Machine.RunAsync("systemctl", "stop", "edgestream");
        Assert.Contains("for the hub", await Machine.RunAsync("edgestream", "consume", "readings", "--geo", "berlin-7", "-B", "-d"), StringComparison.Ordinal);
        await Machine.RunAsync("systemctl", "stop", "edgestream-hub");
        await Machine.RunAsync("systemctl", "start", "edgestream");
        await Machine.RunAsync("edgestream", "leave");
    }

    private async Task<int> RestartsAsync() => int.Parse(await Machine.PropertyAsync("NRestarts"), CultureInfo.InvariantCulture);

    private Task<string> WriteDropInAsync(string text) => Machine.RunAsync("sh", "-c", $"printf '{text}\\n' >{DropIn}");

    private async Task RemoveDropInAsync()
    {
        await Machine.RunAsync("rm", DropIn);
        await Machine.RunAsync("systemctl", "reload", "edgestream");
        await Machine.WaitForAsync("it is reloaded", async () =>
            (await Machine.RunAsync("edgestream", "status")).Contains("health: good", StringComparison.Ordinal));
    }
}
