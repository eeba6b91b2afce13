using EdgeStream.Agent.Hosting;
using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Agent.Configuration;

/// <summary>
/// Finds and reads configuration files: one, and what stands beside it in <c>NAME.d/*.toml</c>, in the order of the names.
/// Lists (topics, sources, sinks) add up; a table that stands in two files is an error.
/// </summary>
internal static class ConfigurationFiles
{
    /// <param name="given">What the command line says; null takes the usual file where it exists, else nothing.</param>
    /// <exception cref="ConfigurationException">A file is missing or wrong.</exception>
    public static AgentConfiguration Load(string? given) => Parse(Read(given));

    /// <summary>The files themselves, in the order in which they count; none where there is no configuration.</summary>
    /// <exception cref="ConfigurationException">A file cannot be read.</exception>
    public static IReadOnlyList<ConfigurationFile> Read(string? given) =>
        given is null && !File.Exists(NodePaths.DefaultConfiguration)
            ? []
            : [.. Paths(given ?? NodePaths.DefaultConfiguration).Select(ConfigurationFile.Read)];

    /// <summary>What the files say together.</summary>
    /// <param name="files">The main one first.</param>
    /// <exception cref="ConfigurationException">A file is wrong, or two contradict each other.</exception>
    public static AgentConfiguration Parse(IReadOnlyList<ConfigurationFile> files)
    {
        if (files.Count == 0)
            return new AgentConfiguration();

        var places = new ConfigurationPlaces();
        AgentConfiguration configuration = ConfigurationReader.Read(files[0].Path, files[0].Text(), places);
        foreach (ConfigurationFile part in files.Skip(1))
            configuration = Merge(configuration, ConfigurationReader.Read(part.Path, part.Text(), places), part.Path);

        if (files.Count > 1)
            ConfigurationReader.CheckAsAWhole(places, configuration);

        MqttReader.CheckEmbedded(places, configuration);
        return configuration;
    }

    /// <summary>The files that a configuration consists of, the given one first, in the order in which they are read.</summary>
    /// <exception cref="ConfigurationException">The folder cannot be looked into.</exception>
    public static IReadOnlyList<string> Paths(string main)
    {
        string folder = Path.ChangeExtension(main, ".d");
        try
        {
            return Directory.Exists(folder) ? [main, .. Directory.EnumerateFiles(folder, "*.toml").Order(StringComparer.Ordinal)] : [main];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"the folder '{folder}' cannot be read: {error.Message}");
        }
    }

    private static AgentConfiguration Merge(AgentConfiguration first, AgentConfiguration second, string path)
    {
        if ((first.Data is not null && second.Data is not null) || (first.Socket is not null && second.Socket is not null))
            throw new ConfigurationException($"{path}: 'data' and 'socket' can be set in one file only", path);

        if (first.Budget is not null && second.Budget is not null)
            throw new ConfigurationException($"{path}: 'storage.budget' can be set in one file only", path);

        if (first.JetStream is not null && second.JetStream is not null)
            throw new ConfigurationException($"{path}: 'storage.engine' can be set in one file only");

        if (first.Http is not null && second.Http is not null)
            throw new ConfigurationException($"{path}: 'http.listen' can be set in one file only", path);

        if (first.HomeAssistant is not null && second.HomeAssistant is not null)
            throw new ConfigurationException($"{path}: 'home-assistant' can be set in one file only", path);

        TopicConfiguration[] topics = [.. first.Topics, .. second.Topics];

        // Priorities come from the topics; what else a file has of [uplink], only it says.
        UplinkOptions unset = ConfigurationReader.WithPriorities(new UplinkOptions(), second.Topics);
        UplinkOptions uplink = second.Uplink == unset ? first.Uplink : second.Uplink;
        return first with
        {
            Data = first.Data ?? second.Data,
            Socket = first.Socket ?? second.Socket,
            Budget = first.Budget ?? second.Budget,
            JetStream = first.JetStream ?? second.JetStream,
            Http = first.Http ?? second.Http,
            Topics = topics,
            MqttSources = [.. first.MqttSources, .. second.MqttSources],
            MqttBrokers = [.. first.MqttBrokers, .. second.MqttBrokers],
            GpioLines = [.. first.GpioLines, .. second.GpioLines],
            SysfsSources = [.. first.SysfsSources, .. second.SysfsSources],
            Commands = [.. first.Commands, .. second.Commands],
            GpioSinks = [.. first.GpioSinks, .. second.GpioSinks],
            MqttSinks = [.. first.MqttSinks, .. second.MqttSinks],
            EmbeddedSinks = [.. first.EmbeddedSinks, .. second.EmbeddedSinks],
            HomeAssistant = first.HomeAssistant ?? second.HomeAssistant,
            Uplink = ConfigurationReader.WithPriorities(uplink, topics),
        };
    }
}
