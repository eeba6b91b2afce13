using System.Globalization;
using System.Text.RegularExpressions;
using EdgeStream.Harness;

namespace EdgeStream.Packaging.Tests;

/// <summary>What the package for data centers adds, looked at without building it.</summary>
public sealed partial class ClusterUnitTests
{
    private const double WorstExposure = 2.0;

    // What differs between the units by right.
    private static readonly string[] OfTheirOwn =
        ["Description=", "After=", "EnvironmentFile=", "ExecStart=", "StateDirectory=", "RuntimeDirectory=", "#"];

    [Theory]
    [InlineData("sc")]
    [InlineData("spu")]
    public void Unit_is_the_hubs_but_for_what_it_runs(string kind) => Assert.Equal(Common("hub"), Common(kind));

    [Theory]
    [InlineData("sc")]
    [InlineData("spu")]
    public async Task Systemd_finds_little_exposed(string kind)
    {
        Ended report = await Shell.RunAsync("systemd-analyze", "security", "--offline=true", "--no-pager", Unit(kind));
        Assert.SkipWhen(report.ExitCode == 127, report.Output);
        Match exposure = Exposure().Match(report.Output);
        Assert.True(exposure.Success, report.Output);
        Assert.True(double.Parse(exposure.Groups[1].Value, CultureInfo.InvariantCulture) <= WorstExposure, report.Output);
    }

    [Theory]
    [InlineData("sc")]
    [InlineData("spu")]
    public async Task Conffile_is_good_as_it_is_and_with_every_example(string kind)
    {
        using var directory = new TemporaryDirectory();
        string asItIs = File.ReadAllText(Repository.At("packaging", "deb", "hub", kind + ".toml"));

        // Of two ways to say who one is, one; and files are there.
        string all = Example().Replace(asItIs, "").Replace("credentials = ", "#credentials = ", StringComparison.Ordinal);
        all = FilePath().Replace(all, match => $"{match.Groups[1].Value}\"{directory.At("file")}\"");
        File.WriteAllText(directory.At("file"), "");
        foreach (string text in (string[])[asItIs, all])
        {
            File.WriteAllText(directory.At("node.toml"), text);
            await EdgeStreamProgram.RunGoodAsync("check", "--config-only", "--config", directory.At("node.toml"));
        }
    }

    private static string Unit(string kind) => Repository.At("packaging", "systemd", $"edgestream-{kind}.service");

    private static string[] Common(string kind) =>
        [.. File.ReadLines(Unit(kind)).Where(line => line.Length > 0 && !OfTheirOwn.Any(own => line.StartsWith(own, StringComparison.Ordinal)))];

    [GeneratedRegex(@"Overall exposure level for \S+: (\d+\.\d+)")]
    private static partial Regex Exposure();

    [GeneratedRegex(@"(?m)^#(?! |$)")]
    private static partial Regex Example();

    [GeneratedRegex(@"(?m)^([a-z]+-file = )"".*""")]
    private static partial Regex FilePath();
}
