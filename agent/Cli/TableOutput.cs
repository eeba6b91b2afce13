using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Spectre.Console;

namespace EdgeStream.Agent.Cli;

/// <summary>Rows for people (a table) or for programs (<c>-o json</c>: an array with an object a row).</summary>
/// <param name="columns">Their names: the table's headings, and the objects' keys.</param>
internal sealed class TableOutput(params string[] columns)
{
    private readonly List<object?[]> _rows = [];

    public static Option<string> Format { get; } = CreateFormat();

    public static bool IsJson(ParseResult result) => result.GetValue(Format) == "json";

    /// <summary>One value a column: string, long, bool, time (milliseconds since 1970 are the caller's to convert), or null; for JSON only, a table.</summary>
    public void Add(params object?[] values) => _rows.Add(values);

    /// <summary>Why rows may be missing, beside them.</summary>
    public static void WriteProblems(ParseResult result, IEnumerable<string> problems)
    {
        foreach (string problem in problems)
            result.InvocationConfiguration.Error.WriteLine($"not all is shown: {problem}");
    }

    public void Write(ParseResult result, string whenEmpty)
    {
        TextWriter output = result.InvocationConfiguration.Output;
        if (IsJson(result))
            WriteJson(output);
        else if (_rows.Count == 0)
            result.InvocationConfiguration.Error.WriteLine(whenEmpty);
        else
            WriteTable(output);
    }

    private static Option<string> CreateFormat()
    {
        var option = new Option<string>("--output", "-o") { Description = "table or json", DefaultValueFactory = _ => "table" };
        option.AcceptOnlyFromAmong("table", "json");
        return option;
    }

    private void WriteTable(TextWriter output)
    {
        var table = new Table { Border = TableBorder.None, ShowHeaders = true };
        table.Expand = false;
        for (int i = 0; i < columns.Length; i++)
        {
            bool isNumber = _rows.TrueForAll(row => row[i] is long or int or null);
            table.AddColumn(new TableColumn(new Text(columns[i].ToUpperInvariant().Replace('_', ' ')))
            {
                Alignment = isNumber ? Justify.Right : Justify.Left,
                NoWrap = true,
                Padding = new Padding(0, 0, 2, 0),
            });
        }

        foreach (object?[] row in _rows)
            table.AddRow(row.Select(value => new Text(ToText(value))));

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Out = new AnsiConsoleOutput(output),
        });

        // A table in a pipe must not be folded at the width of a terminal that is not there.
        console.Profile.Width = 1000;
        console.Write(table);
        output.WriteLine();
    }

    private void WriteJson(TextWriter output)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            WriteRows(json);
        }

        output.WriteLine(System.Text.Encoding.UTF8.GetString(stream.ToArray()));
    }

    private void WriteRows(Utf8JsonWriter json)
    {
        json.WriteStartArray();
        foreach (object?[] row in _rows)
        {
            json.WriteStartObject();
            for (int i = 0; i < columns.Length; i++)
                WriteValue(json, columns[i], row[i]);

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteValue(Utf8JsonWriter json, string key, object? value)
    {
        switch (value)
        {
            case null:
                json.WriteNull(key);
                break;
            case long number:
                json.WriteNumber(key, number);
                break;
            case int number:
                json.WriteNumber(key, number);
                break;
            case bool truth:
                json.WriteBoolean(key, truth);
                break;
            case TableOutput nested:
                json.WritePropertyName(key);
                nested.WriteRows(json);
                break;
            default:
                json.WriteString(key, ToText(value));
                break;
        }
    }

    private static string ToText(object? value) => value switch
    {
        null => "-",
        bool truth => truth ? "yes" : "no",
        DateTimeOffset time => time.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture) ?? "",
    };
}
