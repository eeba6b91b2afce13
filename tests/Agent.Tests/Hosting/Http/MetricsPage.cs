using System.Globalization;
using System.Text.RegularExpressions;

namespace EdgeStream.Agent.Tests.Hosting.Http;

/// <summary>Reads Prometheus's text format, and fails on whatever is not it.</summary>
internal sealed partial class MetricsPage
{
    private readonly Dictionary<string, double> _samples = [];
    private readonly Dictionary<string, string> _types = [];

    public MetricsPage(string text)
    {
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        string family = "", helped = "";
        foreach (string line in text[..^1].Split('\n'))
        {
            if (Help().Match(line) is { Success: true } help)
            {
                helped = help.Groups["name"].Value;
            }
            else if (Type().Match(line) is { Success: true } type)
            {
                family = type.Groups["name"].Value;
                Assert.Equal(helped, family);
                Assert.True(_types.TryAdd(family, type.Groups["type"].Value), $"{family} comes twice");
            }
            else
            {
                Match sample = Sample().Match(line);
                Assert.True(sample.Success, $"not a sample: {line}");
                Assert.Equal(family, sample.Groups["name"].Value);
                string[] labels = [.. sample.Groups["label"].Captures.Select(label => label.Value)];
                Assert.Equal(labels.Distinct(), labels);
                double value = double.Parse(sample.Groups["value"].Value, CultureInfo.InvariantCulture);
                Assert.True(_samples.TryAdd(sample.Groups["series"].Value, value), $"{line} comes twice");
            }
        }
    }

    public IReadOnlyDictionary<string, string> Types => _types;

    public IReadOnlyDictionary<string, double> Samples => _samples;

    public double this[string series] =>
        _samples.TryGetValue(series, out double value) ? value : throw new KeyNotFoundException($"there is no {series} among\n{string.Join('\n', _samples.Keys)}");

    [GeneratedRegex(@"^# HELP (?<name>[a-z_]+) [^\n]+$")]
    private static partial Regex Help();

    [GeneratedRegex(@"^# TYPE (?<name>[a-z_]+) (?<type>gauge|counter)$")]
    private static partial Regex Type();

    [GeneratedRegex("""^(?<series>(?<name>[a-z_]+)(\{(((?<label>[a-z_]+)="([^"\\\n]|\\["\\n])*"),?)+(?<!,)\})?) (?<value>-?\d+)$""")]
    private static partial Regex Sample();
}
