using System.Globalization;
using System.Text.RegularExpressions;
using EdgeStream.Harness;

namespace EdgeStream.Packaging.Tests;

/// <summary>What the package for data centers brings, looked at without building it.</summary>
public sealed partial class HubPackageTests
{
    private const double WorstExposure = 2.0;

    [Theory(Timeout = 120_000)]
    [InlineData("edgestream-hub")]
    [InlineData("edgestream-sc")]
    [InlineData("edgestream-spu")]
    public async Task Unit_is_good_and_exposes_little(string unit)
    {
        // Under a name of its own, with a program that is there: what is looked at is the unit.
        using var directory = new TemporaryDirectory();
        string file = directory.At(unit + ".service");
        File.WriteAllText(file, File.ReadAllText(Repository.At("packaging", "systemd", unit + ".service"))
            .Replace("/usr/bin/edgestream", "/bin/true", StringComparison.Ordinal)
            .Replace("Documentation=man:edgestream(1)\n", "", StringComparison.Ordinal));
        Ended verified = await Shell.RunAsync("systemd-analyze", "verify", file);
        Assert.SkipWhen(verified.ExitCode == 127, verified.Output);
        Assert.DoesNotContain(unit, verified.Good(), StringComparison.Ordinal);

        string report = (await Shell.RunAsync("systemd-analyze", "security", "--offline=true", "--no-pager", file)).Good();
        Match exposure = Regex.Match(report, @"Overall exposure level for \S+: (\d+\.\d+)");
        Assert.True(exposure.Success, report);
        Assert.True(double.Parse(exposure.Groups[1].Value, CultureInfo.InvariantCulture) <= WorstExposure, report);
    }

    [Theory]
    [InlineData("sc.toml")]
    [InlineData("spu.toml")]
    public async Task Conffile_is_good_and_every_key_in_it_is_one(string name)
    {
        using var directory = new TemporaryDirectory();
        string asItIs = File.ReadAllText(Repository.At("packaging", "deb", "hub", name)), file = directory.At(name);
        File.WriteAllText(file, asItIs);
        await EdgeStreamProgram.RunGoodAsync("check", "--config-only", "--config", file);

        // Those that name files or go with others are right where they stand, whatever else is missing.
        foreach (Match example in Example().Matches(asItIs))
        {
            File.WriteAllText(file, asItIs.Remove(example.Index, 1));
            Ended checking = await Shell.RunAsync(EdgeStreamProgram.Path, "check", "--config-only", "--config", file);
            Assert.DoesNotContain("no such key", checking.Output, StringComparison.Ordinal);
            Assert.DoesNotMatch("(?i)toml syntax|duplicate|more than once", checking.Output);
        }
    }

    // '# Text' explains; '#key = value' shows.
    [GeneratedRegex("(?m)^#(?! |$)")]
    private static partial Regex Example();
}
