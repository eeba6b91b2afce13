using System.CommandLine;
using EdgeStream.Agent.Cli;
using EdgeStream.Harness;

namespace EdgeStream.Agent.Tests.Cli;

/// <summary>What <c>check</c> says of a configuration alone.</summary>
public sealed class CheckCommandTests : IDisposable
{
    private const string OnNats = "[storage]\nengine = \"jetstream\"\nnats = [\"nats://127.0.0.1:4222\"]\n";

    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(OnNats)]
    [InlineData(OnNats + "[cluster]\nname = \"c\"\n")]
    public async Task Topics_in_the_file_of_a_data_center_are_found_before_it_starts(string configuration)
    {
        Assert.Equal(0, (await CheckAsync(configuration)).ExitCode);
        (int exitCode, string output) = await CheckAsync(configuration + "[[topic]]\nname = \"readings\"\nsync = \"os\"\n");
        Assert.Equal(1, exitCode);
        Assert.Contains("topics, sources, sinks and an uplink are for an edge", output, StringComparison.Ordinal);
    }

    private async Task<(int ExitCode, string Output)> CheckAsync(string configuration)
    {
        string file = _directory.At("check.toml");
        await File.WriteAllTextAsync(file, configuration, TestContext.Current.CancellationToken);
        var root = new RootCommand { CheckCommand.Create() };
        foreach (Option option in ConnectionOptions.All)
            root.Options.Add(option);

        using var output = new StringWriter();
        int exitCode = await root.Parse(["check", "--config", file, "--config-only", "-o", "json"])
            .InvokeAsync(new InvocationConfiguration { Output = output }, TestContext.Current.CancellationToken);
        return (exitCode, output.ToString());
    }
}
