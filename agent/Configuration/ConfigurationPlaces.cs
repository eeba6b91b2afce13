namespace EdgeStream.Agent.Configuration;

/// <summary>
/// Where the parts of a configuration stand, for errors that are about two of them. They are known by reference, because two that say the
/// same stand in two places; and not by the parts themselves, because one that has moved to another line has not changed.
/// </summary>
internal sealed class ConfigurationPlaces
{
    private readonly Dictionary<object, (TomlSection Section, int File)> _places = new(ReferenceEqualityComparer.Instance);
    private TomlSection? _homeAssistant;
    private int _files;

    /// <summary>What is noted from now on stands in another file, which is read behind the one before.</summary>
    public void NextFile() => _files++;

    /// <summary>Lets a reader note where each part stands that it reads.</summary>
    public Func<TomlSection, T> Noting<T>(Func<TomlSection, T> read)
        where T : class => section =>
        {
            T part = read(section);
            _places[part] = (section, _files);
            if (part is Devices.Mqtt.HomeAssistantOptions)
                _homeAssistant = section;

            return part;
        };

    /// <summary>As they stand one behind the other: where two contradict each other, it is the later one that has to go.</summary>
    public IEnumerable<T> InOrder<T>(IEnumerable<T> parts)
        where T : class => parts.OrderBy(part => _places[part].File).ThenBy(part => _places[part].Section.Line);

    /// <summary>File and line of a key of a part.</summary>
    public string Of(object part, string key) => SectionOf(part).PlaceOf(key);

    /// <summary>An error about a key of a part.</summary>
    public ConfigurationException Error(object part, string key, string problem) => SectionOf(part).Error(key, problem);

    // What no file has by itself was made for Home Assistant.
    private TomlSection SectionOf(object part) => _places.TryGetValue(part, out (TomlSection Section, int) known) ? known.Section : _homeAssistant!;
}
