using EdgeStream.Devices;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Tomlyn;
using Tomlyn.Parsing;

namespace EdgeStream.Agent.Configuration;

/// <summary>A value of a TOML file that knows where it stands, so that an error can say so.</summary>
/// <param name="Value">A string, long, double, bool, list of nodes, or <see cref="TomlSection"/>.</param>
/// <param name="Line">Counted from 1.</param>
internal sealed record TomlNode(object Value, int Line);

/// <summary>A table of a TOML file. Each key has to be asked for; <see cref="Done"/> refuses those that nobody wanted.</summary>
internal sealed class TomlSection(string file, string path, int? line)
{
    private readonly Dictionary<string, TomlNode> _nodes = new(StringComparer.Ordinal);
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);

    /// <summary>Parses a file.</summary>
    /// <exception cref="ConfigurationException">It is not TOML.</exception>
    public static TomlSection Parse(string file, string text)
    {
        try
        {
            TomlParser parser = TomlParser.Create(text, new TomlSerializerOptions { SourceName = file });
            var root = new TomlSection(file, "", 1);
            while (parser.MoveNext())
            {
                if (parser.Current.Kind == TomlParseEventKind.StartTable)
                    root.ReadTable(parser);
            }

            return root;
        }
        catch (TomlException error)
        {
            // "file(line,column) : error : text", of which the first line is enough; as all others are written.
            string[] parts = error.Message.Split('\n')[0].Split(" : error : ", 2);
            int at = parts[0].LastIndexOf('(');
            throw new ConfigurationException(
                parts.Length == 2 && at >= 0
                    ? $"{parts[0][..at]}:{parts[0][(at + 1)..].Split(',')[0]}: {parts[1].Trim()}"
                    : parts[0].Trim(),
                file);
        }
    }

    /// <summary>Where it begins, counted from 1; where the parser does not say that, as of a further [[table]], its first key.</summary>
    public int Line => line ?? _nodes.Values.Select(node => node.Line).DefaultIfEmpty(1).Min();

    /// <summary>An error about one key of this table.</summary>
    public ConfigurationException Error(string key, string problem) => new($"{PlaceOf(key)}: {Join(key)}: {problem}", file);

    /// <summary>File and line of a key; of the table where it does not have it.</summary>
    public string PlaceOf(string key) => $"{file}:{(_nodes.TryGetValue(key, out TomlNode? node) ? node.Line : Line)}";

    public string? String(string key) => Take(key)?.Value switch
    {
        null => null,
        string text => text,
        _ => throw Error(key, "must be a string in quotes"),
    };

    public string RequiredString(string key) => String(key) is { Length: > 0 } text ? text : throw Error(key, "is missing");

    /// <summary>All keys of a table whose names are free, each with a string.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Strings() => [.. _nodes.Keys.Select(key => KeyValuePair.Create(key, String(key)!))];

    /// <summary>Whether a key is there with a string, where other kinds are allowed too.</summary>
    public bool IsString(string key) => _nodes.TryGetValue(key, out TomlNode? node) && node.Value is string;

    /// <summary>Whether the key is there; it is not asked for by this.</summary>
    public bool Has(string key) => _nodes.ContainsKey(key);

    public bool? Bool(string key) => Take(key)?.Value switch
    {
        null => null,
        bool value => value,
        _ => throw Error(key, "must be true or false"),
    };

    public int? Int(string key, int min, int max) => Take(key)?.Value switch
    {
        null => null,
        long value when value >= min && value <= max => (int)value,
        _ => throw Error(key, $"must be a whole number from {min} to {max}"),
    };

    /// <summary>So many records in so long: <c>"100/s"</c>, <c>"10/m"</c>, <c>"5/h"</c>.</summary>
    public RateLimit? RateLimit(string key) => String(key) switch
    {
        null => null,
        { } text when Quantities.TryParseRateLimit(text, out RateLimit limit) => limit,
        { } text => throw Error(key, $"'{text}' is no number of records; write for instance \"100/s\", \"10/m\" or \"5/h\""),
    };

    /// <summary>The strings of a list; none where it is missing.</summary>
    public IReadOnlyList<string> Strings(string key) => Take(key)?.Value switch
    {
        null => [],
        List<TomlNode> nodes when nodes.TrueForAll(node => node.Value is string) => [.. nodes.Select(node => (string)node.Value)],
        _ => throw Error(key, "must be a list of strings, [\"…\", \"…\"]"),
    };

    /// <summary>A number with or without a point.</summary>
    public decimal? Number(string key) => Take(key)?.Value switch
    {
        null => null,
        long value => value,
        double value when Math.Abs(value) < 1e15 => (decimal)value,
        _ => throw Error(key, "must be a number"),
    };

    public TimeSpan? Time(string key) => String(key) switch
    {
        null => null,
        { } text when Quantities.TryParseTime(text, out TimeSpan time) => time,
        { } text => throw Error(key, $"'{text}' is no time; write for instance \"500ms\", \"30s\" or \"7d\""),
    };

    public long? Bytes(string key) => Take(key)?.Value switch
    {
        null => null,
        long number and > 0 => number,
        string text when Quantities.TryParseBytes(text, out long bytes) => bytes,
        _ => throw Error(key, "is a size; write for instance \"512MiB\""),
    };

    /// <summary>When to sync: <c>"commit"</c>, <c>"os"</c> or <c>{ interval = "1s" }</c>.</summary>
    /// <summary>Bytes a second.</summary>
    public long? Rate(string key) => String(key) switch
    {
        null => null,
        string text => Quantities.TryParseRate(text, out long bytesPerSecond)
            ? bytesPerSecond
            : throw Error(key, $"'{text}' is no rate; write for instance \"200kbit/s\", \"2Mbit/s\" or \"25kB/s\""),
    };

    public SyncPolicy? Sync(string key)
    {
        if (!_nodes.TryGetValue(key, out TomlNode? node))
            return null;

        TomlSection? table = node.Value as TomlSection;
        string? text = table is null ? String(key) : Section(key)!.RequiredString("interval");
        table?.Done();
        return Quantities.TryParseSync(text!, out SyncPolicy sync)
            ? sync
            : throw Error(key, $"'{text}' is neither \"commit\" nor \"os\" nor {{ interval = \"1s\" }} of 1ms to 1h");
    }

    /// <summary>One of several words, read by <paramref name="choices"/>.</summary>
    public T? Choice<T>(string key, IReadOnlyDictionary<string, T> choices)
        where T : struct => String(key) switch
        {
            null => null,
            { } text when choices.TryGetValue(text, out T value) => value,
            { } text => throw Error(key, $"'{text}' is not one of {string.Join(", ", choices.Keys)}"),
        };

    public TomlSection? Section(string key) => Take(key)?.Value switch
    {
        null => null,
        TomlSection section => section,
        _ => throw Error(key, "must be a table"),
    };

    /// <summary>The tables of an array, <c>[[key]]</c> or <c>key = [{…}]</c>; none where it is missing.</summary>
    public IReadOnlyList<TomlSection> Sections(string key) => Take(key)?.Value switch
    {
        null => [],
        TomlSection single => throw single.Error("", $"write [[{Join(key)}]] with two brackets: there can be several"),
        List<TomlNode> nodes when nodes.TrueForAll(node => node.Value is TomlSection) => [.. nodes.Select(node => (TomlSection)node.Value)],
        _ => throw Error(key, "must be an array of tables"),
    };

    /// <summary>Refuses keys that were not asked for: a misspelt setting must not be silently without effect.</summary>
    public void Done()
    {
        foreach ((string key, TomlNode _) in _nodes)
        {
            if (!_asked.Contains(key))
                throw Error(key, $"there is no such key; known here: {string.Join(", ", _asked.Order(StringComparer.Ordinal))}");
        }
    }

    private TomlNode? Take(string key)
    {
        _asked.Add(key);
        return _nodes.GetValueOrDefault(key);
    }

    private string Join(string key) => (path.Length, key.Length) switch
    {
        (0, _) => key,
        (_, 0) => path,
        _ => $"{path}.{key}",
    };

    /// <summary>Reads up to the end of the table that has just begun. A table may come in several parts, [a] and [a.b].</summary>
    private void ReadTable(TomlParser parser)
    {
        while (parser.MoveNext() && parser.Current.Kind != TomlParseEventKind.EndTable)
        {
            string key = parser.GetPropertyName();
            int keyLine = (parser.Current.Span?.Start.Line ?? 0) + 1;
            parser.MoveNext();
            _nodes.TryGetValue(key, out TomlNode? known);
            switch (parser.Current.Kind, known?.Value)
            {
                case (TomlParseEventKind.StartTable, TomlSection again):
                    again.ReadTable(parser);
                    break;
                case (TomlParseEventKind.StartArray, List<TomlNode> again):
                    again.AddRange(ReadArray(parser, Join(key), keyLine));
                    break;
                case (_, null):
                    _nodes[key] = ReadValue(parser, Join(key), keyLine);
                    break;
                default:
                    throw new ConfigurationException($"{file}:{keyLine}: {Join(key)}: is there twice, first in line {known!.Line}", file);
            }
        }
    }

    private TomlNode ReadValue(TomlParser parser, string valuePath, int? given)
    {
        TomlParseEvent value = parser.Current;
        int valueLine = given ?? 1;
        switch (value.Kind)
        {
            case TomlParseEventKind.StartTable:
                var section = new TomlSection(file, valuePath, given);
                section.ReadTable(parser);
                return new TomlNode(section, section.Line);
            case TomlParseEventKind.StartArray:
                return new TomlNode(ReadArray(parser, valuePath, valueLine), valueLine);
            case TomlParseEventKind.String:
                return new TomlNode(parser.GetString() ?? "", valueLine);
            case TomlParseEventKind.Integer:
                return new TomlNode(value.GetInt64(), valueLine);
            case TomlParseEventKind.Float:
                return new TomlNode(value.GetDouble(), valueLine);
            case TomlParseEventKind.Boolean:
                return new TomlNode(value.GetBoolean(), valueLine);
            default:
                throw new ConfigurationException($"{file}:{valueLine}: {valuePath}: a {value.Kind} has no place here", file);
        }
    }

    private List<TomlNode> ReadArray(TomlParser parser, string arrayPath, int arrayLine)
    {
        List<TomlNode> nodes = [];
        while (parser.MoveNext() && parser.Current.Kind != TomlParseEventKind.EndArray)
            nodes.Add(ReadValue(parser, arrayPath, parser.Current.Span?.Start.Line + 1 ?? (nodes.Count == 0 ? arrayLine : default(int?))));

        return nodes;
    }
}
