using System.Buffers;
using System.Globalization;
using System.Text;

namespace EdgeStream.Agent.Hosting.Http;

/// <summary>
/// Writes metrics in the text format of Prometheus, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/): one family after the other, each with its samples behind it.
/// </summary>
internal sealed class PrometheusText(IBufferWriter<byte> output)
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder _line = new();
    private string _name = "";
    private string? _header;

    /// <summary>Begins a family of values that go up and down.</summary>
    public void Gauge(string name, string help) => Begin(name, "gauge", help);

    /// <summary>Begins a family of values that only grow, up to the next start of the program.</summary>
    public void Counter(string name, string help) => Begin(name, "counter", help);

    /// <summary>Adds a sample to the family begun last; the caller sees to it that no two have the same labels.</summary>
    public void Sample(decimal value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        // With the first sample: a family without any is not mentioned.
        _line.Clear().Append(_header).Append(_name);
        _header = null;
        for (int i = 0; i < labels.Length; i++)
        {
            _line.Append(i == 0 ? '{' : ',').Append(labels[i].Name).Append("=\"");
            AppendEscaped(labels[i].Value, quotes: true);
            _line.Append('"');
        }

        if (labels.Length > 0)
            _line.Append('}');

        _line.Append(' ').Append(CultureInfo.InvariantCulture, $"{value}").Append('\n');
        foreach (ReadOnlyMemory<char> chunk in _line.GetChunks())
            Encoding.UTF8.GetBytes(chunk.Span, output);
    }

    private void Begin(string name, string type, string help)
    {
        _name = name;
        _line.Clear().Append("# HELP ").Append(name).Append(' ');
        AppendEscaped(help, quotes: false);
        _header = _line.Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n').ToString();
    }

    private void AppendEscaped(string text, bool quotes)
    {
        foreach (char c in text)
        {
            _ = c switch
            {
                '\\' => _line.Append(@"\\"),
                '\n' => _line.Append(@"\n"),
                '"' when quotes => _line.Append("\\\""),
                _ => _line.Append(c),
            };
        }
    }
}
