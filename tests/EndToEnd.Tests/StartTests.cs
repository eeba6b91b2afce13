using System.Net;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Starts of an edge whose configuration got a mistake while nobody was near.</summary>
public sealed class StartTests : IDisposable
{
    private const string Door = """
        [[source.gpio]]
        chip = "simulated"
        line = 1
        topic = "door"

        """;

    private const string Window = """
        [[source.gpio]]
        chip = "simulated"
        line = 2
        topic = "window"
        """;

    private readonly TemporaryDirectory _directory = new();
    private readonly NodeProcess _edge;

    public StartTests() => _edge = NodeProcess.Edge(_directory.Path, Door);

    public void Dispose()
    {
        _edge.Dispose();
        _directory.Dispose();
    }

    [Theory]
    [InlineData("edge.d/20-bad.toml", "[[source.gpio]]\nline = 17\ntopic = 1\n", "20-bad.toml:3: source.gpio.topic: must be a string in quotes")]
    [InlineData("edge.d/20-bad.toml", Door, "20-bad.toml:3: source.gpio.line: line 1 of the simulated chip is wanted by ")]
    [InlineData("edge.toml", "budgt = 1", "edge.toml:1: budgt: there is no such key")]
    public async Task Mistake_leaves_the_last_good_configuration_in_force_until_it_is_corrected(string name, string mistake, string problem)
    {
        await WriteAsync("edge.d/10-window.toml", Window);
        await RunAsync();
        await Condition.WaitAsync("its configuration is kept", () => File.Exists(Path.Combine(_edge.Data, "last-good", "configuration.tar")));
        _edge.Kill();

        // The power was cut; and again, on the copy.
        await WriteAsync(name, mistake);
        for (int i = 0; i < 2; i++)
        {
            await RunAsync();
            await _edge.Process.WaitForLineAsync("the last good one goes on: ");
            string status = await _edge.CommandAsync("status");
            Assert.Contains("health: BAD", status, StringComparison.Ordinal);
            Assert.Contains(problem, status, StringComparison.Ordinal);
            _edge.Kill();
        }

        await RunAsync();
        using var http = new HttpClient { BaseAddress = await _edge.HttpAsync() };
        HttpResponseMessage health = await http.GetAsync(new Uri("/healthz", UriKind.Relative), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        Assert.Contains(problem, await health.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), StringComparison.Ordinal);

        // A check is as strict as ever.
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(["check", "--config-only", "-c", _directory.At("edge.toml")]);
        Assert.Equal(1, exitCode);
        Assert.Contains(problem, error, StringComparison.Ordinal);

        await WriteAsync(name, name == "edge.toml" ? Door : "");
        _edge.Process.Signal("HUP");
        await _edge.Process.WaitForLineAsync("configuration reloaded: of the sources and sinks 0 stopped, 0 started");
        Assert.Contains("health: good", await _edge.CommandAsync("status"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task First_start_leaves_out_the_drop_in_that_is_wrong()
    {
        await WriteAsync("edge.d/10-window.toml", Window);
        await WriteAsync("edge.d/20-bad.toml", "[[source.gpio]]\nline = 17\ntopic = 1\n");
        await RunAsync();
        string status = await _edge.CommandAsync("status");
        Assert.Contains("health: BAD", status, StringComparison.Ordinal);
        Assert.Matches("20-bad.toml' is left out: .*20-bad.toml:3: source.gpio.topic: must be a string", status);
    }

    [Fact]
    public async Task Topic_that_there_is_no_room_for_is_told_and_the_rest_runs()
    {
        await WriteAsync("edge.d/10-window.toml", Window);
        await WriteAsync("edge.d/20-many.toml", "[storage]\nbudget = \"64MiB\"\n[[topic]]\nname = \"many\"\npartitions = 1000\n");
        await RunAsync();
        Assert.Matches("! .*topic 'many' cannot be made: the storage budget of 67108864 bytes has room for ", await _edge.CommandAsync("status"));
        Assert.False(Directory.Exists(Path.Combine(_edge.Data, "last-good")));
    }

    private async Task RunAsync()
    {
        await _edge.StartAsync();
        await _edge.Process.WaitForLineAsync("source gpio simulated/1 runs");
        await _edge.Process.WaitForLineAsync("source gpio simulated/2 runs");
    }

    private async Task WriteAsync(string name, string text)
    {
        string path = _directory.At(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllTextAsync(path, text, TestContext.Current.CancellationToken);
    }
}
