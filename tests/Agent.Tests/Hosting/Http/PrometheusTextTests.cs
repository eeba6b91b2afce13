using System.Buffers;
using System.Text;
using EdgeStream.Agent.Hosting.Http;

namespace EdgeStream.Agent.Tests.Hosting.Http;

public sealed class PrometheusTextTests
{
    private readonly ArrayBufferWriter<byte> _output = new();

    private string Written => Encoding.UTF8.GetString(_output.WrittenSpan);

    [Fact]
    public void Family_has_help_and_type_and_then_its_samples()
    {
        var text = new PrometheusText(_output);
        text.Gauge("g", "Up and down.");
        text.Sample(-1);
        text.Counter("c_total", "Up.");
        text.Sample(long.MaxValue, ("a", "1"), ("b", ""));
        text.Sample(0, ("a", "2"), ("b", "ü"));

        Assert.Equal(
            """
            # HELP g Up and down.
            # TYPE g gauge
            g -1
            # HELP c_total Up.
            # TYPE c_total counter
            c_total{a="1",b=""} 9223372036854775807
            c_total{a="2",b="ü"} 0

            """,
            Written);
    }

    [Fact]
    public void Labels_and_help_cannot_break_out_of_their_line()
    {
        var text = new PrometheusText(_output);
        text.Gauge("g", "a \"b\" \\ c\nd");
        text.Sample(1, ("l", "\"} 2\ng{l=\"\\"));

        Assert.Equal("# HELP g a \"b\" \\\\ c\\nd\n# TYPE g gauge\ng{l=\"\\\"} 2\\ng{l=\\\"\\\\\"} 1\n", Written);
        Assert.Single(new MetricsPage(Written).Samples);
    }

    [Fact]
    public void Family_without_samples_is_not_mentioned()
    {
        var text = new PrometheusText(_output);
        text.Gauge("none", "Nothing.");
        text.Gauge("one", "One.");
        text.Sample(1);

        Assert.DoesNotContain("none", Written, StringComparison.Ordinal);
    }

    [Fact]
    public void Long_labels_are_written_whole()
    {
        string value = new('ä', 100_000);
        var text = new PrometheusText(_output);
        text.Gauge("g", "Long.");
        text.Sample(1, ("l", value));

        Assert.EndsWith($"g{{l=\"{value}\"}} 1\n", Written, StringComparison.Ordinal);
    }
}
