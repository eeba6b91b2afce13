using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>SIGHUP at an edge.</summary>
public sealed class ReloadTests : IDisposable
{
    private const string Door = """
        [[source.gpio]]
        chip = "simulated"
        line = 1
        topic = "door"

        """;

    private const string Window = """
        [[topic]]
        name = "window"
        [[source.gpio]]
        chip = "simulated"
        line = 2
        topic = "window"
        [[sink.gpio]]
        chip = "simulated"
        line = 3
        topic = "window"

        """;

    private readonly TemporaryDirectory _directory = new();
    private readonly NodeProcess _edge;

    public ReloadTests() => _edge = NodeProcess.Edge(_directory.Path, Door);

    public void Dispose()
    {
        _edge.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public async Task Reload_starts_what_is_new_and_stops_what_is_gone_and_the_rest_goes_on()
    {
        await _edge.StartAsync();
        await _edge.Process.WaitForLineAsync("source gpio simulated/1 runs");

        await ReloadAsync(Door + Window, "configuration reloaded: of the sources and sinks 0 stopped, 2 started$");
        await _edge.Process.WaitForLineAsync("source gpio simulated/2 runs");
        await _edge.Process.WaitForLineAsync("sink gpio simulated/3 runs");
        await _edge.CommandAsync("consume", "window", "-B", "-n", "1");

        await ReloadAsync(Window, "configuration reloaded: of the sources and sinks 1 stopped, 0 started$");
        string status = await _edge.CommandAsync("status");
        Assert.DoesNotContain("simulated/1", status, StringComparison.Ordinal);
        Assert.Contains("simulated/2", status, StringComparison.Ordinal);
        Assert.Single(_edge.Process.Output.Split('\n'), line => line.Contains("simulated/2 runs", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Configuration_with_an_error_is_not_reloaded_and_the_status_says_why()
    {
        await _edge.StartAsync();
        await _edge.Process.WaitForLineAsync("source gpio simulated/1 runs");

        await ReloadAsync("lines = 2\n", "not reloaded, the one before goes on: .*edge.toml:1: lines: there is no such key");
        string status = await _edge.CommandAsync("status");
        Assert.Contains("health: BAD", status, StringComparison.Ordinal);
        Assert.Contains("simulated/1", status, StringComparison.Ordinal);

        await ReloadAsync(Door, "configuration reloaded: of the sources and sinks 0 stopped, 0 started$");
        Assert.Contains("health: good", await _edge.CommandAsync("status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_a_reload_leaves_alone_is_said()
    {
        await _edge.StartAsync();
        await ReloadAsync("[uplink]\nlinger = \"1s\"\n" + Door, "0 started; what else has changed counts from the next start");
    }

    private async Task ReloadAsync(string configuration, string line)
    {
        await File.WriteAllTextAsync(Path.Combine(_directory.Path, "edge.toml"), configuration);
        _edge.Process.Signal("HUP");
        await _edge.Process.WaitForLineAsync(line);
    }
}
