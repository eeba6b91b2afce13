using System.Text;
using System.Text.RegularExpressions;
using EdgeStream.Agent.Configuration;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// What an edge starts with. A mistake in its files must not keep it down, for nobody may be near: then the configuration that it last ran
/// with counts, or, where it never ran, the files without the drop-ins that are wrong.
/// </summary>
/// <param name="Configuration">What counts.</param>
/// <param name="Files">What it was read from; none where that is not what stands in the files.</param>
/// <param name="Problem">Why it is not, in one line; null where it is.</param>
internal sealed partial record StartConfiguration(AgentConfiguration Configuration, IReadOnlyList<ConfigurationFile> Files, string? Problem)
{
    /// <param name="given">The file that the command line names; null for the usual one.</param>
    /// <param name="data">The data directory that the command line names; null where it names none.</param>
    /// <exception cref="ConfigurationException">The main file is wrong, and there is nothing to start with instead.</exception>
    public static StartConfiguration Load(string? given, string? data)
    {
        string main = given ?? NodePaths.DefaultConfiguration;
        try
        {
            IReadOnlyList<ConfigurationFile> files = ConfigurationFiles.Read(given);
            AgentConfiguration configuration = ConfigurationFiles.Parse(files);
            CheckIsForEdge(configuration);

            // Only then is the copy worth a look: each start waits for it.
            if ((files.Count == 0 || files.Any(file => file.IsBlank))
                && LastGoodConfiguration.TryRead(NodePaths.Data(data, configuration.Data)) is { } copy
                && LastGoodConfiguration.FindEmptied(files, main, copy) is { } emptied)
            {
                throw emptied;
            }

            return new StartConfiguration(configuration, files, null);
        }
        catch (ConfigurationException error)
        {
            string[] directories = DataDirectories(main, data);
            return LastGood(directories, error) ?? WithoutDropIns(main, directories[0], error);
        }
    }

    /// <exception cref="ConfigurationException">It is a hub's.</exception>
    public static void CheckIsForEdge(AgentConfiguration configuration)
    {
        if (configuration.JetStream is not null)
        {
            throw new ConfigurationException(
                "storage.engine: \"jetstream\" is for a hub ('edgestream hub --config FILE'); an edge keeps its records in its own log, so that it needs nobody");
        }

        if (configuration.Cluster is not null)
            throw new ConfigurationException("[cluster] is for 'edgestream sc' and 'edgestream spu'; an edge is a cluster by itself, and joins another with 'edgestream join'");
    }

    /// <summary>
    /// Where the node's data may be. A file that cannot be used may name the directory all the same, and another one must not be taken in
    /// its place: the node would begin anew there. Several where files contradict each other; one at least.
    /// </summary>
    public static string[] DataDirectories(string main, string? data)
    {
        List<string> named = [];
        foreach (string path in TryListPaths(main))
        {
            try
            {
                // The keys of the top table stand in front of all others.
                if (DataKey().Match(Encoding.UTF8.GetString(File.ReadAllBytes(path))) is { Success: true } match)
                    named.Add(match.Groups["path"].Value);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // It names none that could be known.
            }
        }

        return [.. named.DefaultIfEmpty(null).Select(path => NodePaths.Data(data, path)).Distinct()];
    }

    private static IReadOnlyList<string> TryListPaths(string main)
    {
        try
        {
            return ConfigurationFiles.Paths(main);
        }
        catch (ConfigurationException)
        {
            return [main];
        }
    }

    private static StartConfiguration? LastGood(string[] directories, ConfigurationException error)
    {
        foreach (string directory in directories)
        {
            if (LastGoodConfiguration.TryRead(directory) is not { } files)
                continue;

            try
            {
                // Data and what they were written with belong together, wherever they were then.
                AgentConfiguration good = ConfigurationFiles.Parse(files) with { Data = directory };
                return new StartConfiguration(good, [], $"the configuration is not in force, the last good one goes on: {error.Message}");
            }
            catch (ConfigurationException)
            {
                // Damaged, or of another version of this program: as good as none.
            }
        }

        return null;
    }

    private static StartConfiguration WithoutDropIns(string main, string directory, ConfigurationException first)
    {
        List<string> paths = [.. TryListPaths(main)];
        List<string> problems = [];
        ConfigurationException error = first;
        while (paths.Count > 1)
        {
            // Where the one at fault is not known, or is the main file, it may be because of what others add to it.
            string leftOut = paths.Skip(1).FirstOrDefault(path => path == error.File) ?? paths[^1];
            paths.Remove(leftOut);
            problems.Add($"'{leftOut}' is left out: {error.Message}");
            try
            {
                AgentConfiguration rest = ConfigurationFiles.Parse([.. paths.Select(ConfigurationFile.Read)]) with { Data = directory };
                return new StartConfiguration(rest, [], $"the configuration is not in force as a whole, {string.Join("; ", problems)}");
            }
            catch (ConfigurationException next)
            {
                error = next;
            }
        }

        throw first;
    }

    [GeneratedRegex("""\A(?:(?>[ \t]*)(?!\[)[^\n]*\n)*?\uFEFF?[ \t]*"?data"?[ \t]*=[ \t]*(?<quote>["'])(?<path>[^"'\n]+)\k<quote>""")]
    private static partial Regex DataKey();
}
