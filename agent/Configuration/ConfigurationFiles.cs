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
    public static AgentConfiguration Load(string? given)
    {
        if (given is null && !File.Exists(NodePaths.DefaultConfiguration))
            return new AgentConfiguration();

        string main = given ?? NodePaths.DefaultConfiguration;
        AgentConfiguration configuration = Read(main);
        string[] parts = [.. Paths(main).Skip(1)];
        foreach (string part in parts)
            configuration = Merge(configuration, Read(part), part);

        if (parts.Length > 0)
            ConfigurationReader.CheckAsAWhole(PartsOf(main), configuration);

        MqttReader.CheckEmbedded(main, configuration);
        return configuration;
    }

    /// <summary>The files that a configuration consists of, the given one first, in the order in which they are read.</summary>
    public static IEnumerable<string> Paths(string main) =>
        Directory.Exists(PartsOf(main)) ? [main, .. Directory.EnumerateFiles(PartsOf(main), "*.toml").Order(StringComparer.Ordinal)] : [main];

    private static string PartsOf(string main) => Path.ChangeExtension(main, ".d");

    private static AgentConfiguration Read(string path)
    {
        try
        {
            return ConfigurationReader.Read(path, File.ReadAllText(path));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ConfigurationException($"the configuration '{path}' cannot be read: {error.Message}");
        }
    }

    private static AgentConfiguration Merge(AgentConfiguration first, AgentConfiguration second, string path)
    {
        if ((first.Data is not null && second.Data is not null) || (first.Socket is not null && second.Socket is not null))
            throw new ConfigurationException($"{path}: 'data' and 'socket' can be set in one file only");

        if (first.Budget is not null && second.Budget is not null)
            throw new ConfigurationException($"{path}: 'storage.budget' can be set in one file only");

        if (first.Http is not null && second.Http is not null)
            throw new ConfigurationException($"{path}: 'http.listen' can be set in one file only");

        if (first.HomeAssistant is not null && second.HomeAssistant is not null)
            throw new ConfigurationException($"{path}: 'home-assistant' can be set in one file only");

        TopicConfiguration[] topics = [.. first.Topics, .. second.Topics];

        // Priorities come from the topics; what else a file has of [uplink], only it says.
        UplinkOptions unset = ConfigurationReader.WithPriorities(new UplinkOptions(), second.Topics);
        UplinkOptions uplink = second.Uplink == unset ? first.Uplink : second.Uplink;
        return first with
        {
            Data = first.Data ?? second.Data,
            Socket = first.Socket ?? second.Socket,
            Budget = first.Budget ?? second.Budget,
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
