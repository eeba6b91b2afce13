using EdgeStream.Agent.Hosting;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Agent.Tests.Hosting;

public sealed class LineLoggerProviderTests
{
    private readonly StringWriter _output = new();
    private readonly StoppedClock _time = new();

    [Fact]
    public void Event_is_a_line_with_time_level_and_category()
    {
        Logger(forJournal: false).LogWarning("{Name} is {State}", "oslo-2", "offline");
        Assert.Equal("13:04:05.067 warn: Part: oslo-2 is offline\n", _output.ToString());
    }

    [Fact]
    public void Line_for_the_journal_begins_with_the_level_and_leaves_the_time_to_it()
    {
        Logger(forJournal: true).LogError("no uplink");
        Assert.Equal("<3>Part: no uplink\n", _output.ToString());
    }

    [Fact]
    public void What_has_line_breaks_stays_one_line()
    {
        Logger(forJournal: false).LogError(new IOException("one\ntwo"), "three\nfour");
        string line = Assert.Single(_output.ToString().TrimEnd('\n').Split('\n'));
        Assert.EndsWith("fail: Part: three four: System.IO.IOException: one two", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Output_that_takes_nothing_more_does_not_end_who_logs()
    {
        using var lines = new LineLoggerProvider(new FullWriter(), _time, forJournal: false);
        lines.CreateLogger("Part").LogInformation("it goes on");
    }

    private ILogger Logger(bool forJournal) => new LineLoggerProvider(_output, _time, forJournal).CreateLogger("Part");

    private sealed class StoppedClock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => new(2026, 3, 1, 13, 4, 5, 67, TimeSpan.Zero);
    }

    private sealed class FullWriter : StringWriter
    {
        public override void Write(string? value) => throw new IOException("No space left on device");
    }
}
