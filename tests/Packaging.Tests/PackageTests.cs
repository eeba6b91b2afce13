using System.Text.Json;
using System.Text.RegularExpressions;
using EdgeStream.Harness;

namespace EdgeStream.Packaging.Tests;

/// <summary>What is in the package, looked at without installing it.</summary>
public sealed partial class PackageTests(DebianSystem debian)
{
    private static string Deb(string file) => Repository.At("packaging", "deb", file);

    [Fact(Timeout = 120_000)]
    public async Task Lintian_has_nothing_to_say()
    {
        debian.Require();
        Ended report = await Shell.RunAsync("lintian", "--allow-root", debian.Package);
        Assert.SkipWhen(report.ExitCode == 127, report.Output);
        Assert.Equal("", string.Join('\n', report.Output.Split('\n').Where(line => Finding().IsMatch(line))));
    }

    [Fact(Timeout = 120_000)]
    public async Task Same_commit_makes_the_same_bytes_and_not_too_many()
    {
        debian.Require();
        using var directory = new TemporaryDirectory();
        (await Shell.RunAsync(Repository.At("packaging", "make-deb.sh"), Repository.At("artifacts", "aot", "linux-x64"), directory.Path)).Good();
        string again = Directory.GetFiles(directory.Path, "*.deb").Single();
        Assert.Equal(Path.GetFileName(debian.Package), Path.GetFileName(again));
        Assert.True(File.ReadAllBytes(debian.Package).AsSpan().SequenceEqual(File.ReadAllBytes(again)), "the packages differ");

        Assert.InRange(new FileInfo(again).Length, 1, 10_000_000);

        // Devices may have 25,000,000 (docs/BENCHMARKS.md), and the one for arm64 is larger: this keeps it from growing unseen.
        Assert.InRange(new FileInfo(Repository.At("artifacts", "aot", "linux-x64", "edgestream")).Length, 1, 23_950_000);
    }

    [Fact]
    public async Task Every_example_in_the_conffile_is_good_and_so_is_the_file_as_it_is()
    {
        using var directory = new TemporaryDirectory();
        string asItIs = File.ReadAllText(Deb("edgestream.toml"));

        // '# Text' explains; '#key = value' shows.
        string all = Example().Replace(asItIs, "");
        foreach (string text in (string[])[asItIs, all])
        {
            File.WriteAllText(directory.At("edgestream.toml"), text);
            await EdgeStreamProgram.RunGoodAsync("check", "--config-only", "--config", directory.At("edgestream.toml"));
        }
    }

    [Fact]
    public async Task Manual_page_has_every_command()
    {
        string page = Roff().Replace(File.ReadAllText(Deb("edgestream.1")), "");
        foreach (string command in await CommandsAsync([]))
            Assert.Contains(command.Split(' ')[^1], page, StringComparison.Ordinal);
    }

    [Fact]
    public void Copyright_names_every_library_that_is_linked_in()
    {
        string copyright = File.ReadAllText(Deb("copyright"));
        using JsonDocument locked = JsonDocument.Parse(File.ReadAllText(Repository.At("agent", "packages.lock.json")));
        IEnumerable<string> packages = locked.RootElement.GetProperty("dependencies").EnumerateObject()
            .SelectMany(framework => framework.Value.EnumerateObject())
            .Where(package => package.Value.GetProperty("type").GetString() != "Project")
            .Select(package => package.Name)
            .Where(name => !name.Contains("ILCompiler", StringComparison.OrdinalIgnoreCase) && name != "Microsoft.NET.ILLink.Tasks")
            .Distinct();
        Assert.All(packages, package => Assert.Contains(package, copyright, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Completion_script_of_the_program_is_the_one_that_is_installed()
    {
        string printed = await EdgeStreamProgram.RunGoodAsync("completions", "bash");
        Assert.Equal(File.ReadAllText(Deb("bash-completion")).Trim(), printed);

        string completed = (await Shell.RunAsync(
            "bash", "-c", $"""
                PATH="{Path.GetDirectoryName(EdgeStreamProgram.Path)}:$PATH"; source {Deb("bash-completion")}
                COMP_WORDS=(edgestream topic cr) COMP_CWORD=2 COMP_LINE="edgestream topic cr" COMP_POINT=19
                _edgestream; printf '%s' "$COMPREPLY"
                """)).Good();
        Assert.Equal("create", completed);
    }

    /// <summary>As the program's own help lists them.</summary>
    private static async Task<IReadOnlyList<string>> CommandsAsync(string[] parent)
    {
        string help = await EdgeStreamProgram.RunGoodAsync([.. parent, "--help"]);
        int at = help.IndexOf("Commands:", StringComparison.Ordinal);
        if (at < 0)
            return [string.Join(' ', parent)];

        List<string> commands = [];
        foreach (string line in help[at..].Split('\n').Skip(1).TakeWhile(line => line.StartsWith("  ", StringComparison.Ordinal)))
        {
            if (CommandName().Match(line) is { Success: true } name)
                commands.AddRange(await CommandsAsync([.. parent, name.Groups[1].Value]));
        }

        return commands;
    }

    [GeneratedRegex("^[EWI]:")]
    private static partial Regex Finding();

    [GeneratedRegex(@"(?m)^#(?! |$)")]
    private static partial Regex Example();

    [GeneratedRegex("^  ([a-z][a-z-]*)")]
    private static partial Regex CommandName();

    [GeneratedRegex(@"\\(?=-)|\\f.")]
    private static partial Regex Roff();
}
