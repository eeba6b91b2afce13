using EdgeStream.Agent.Cli;

namespace EdgeStream.Agent.Tests.Cli;

public sealed class RepeatedProblemsTests
{
    private const string WhereToLook = "this lasts; 'edgestream partition list' and 'edgestream status' say why, of a cluster at its active SC";

    [Fact]
    public void Same_line_comes_again_after_half_a_minute_only()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var time = new SteppedTime();
        var problems = new RepeatedProblems(output, time);

        // A try a second, of two partitions by turns.
        for (int second = 0; second < 60; second++)
        {
            problems.Tell($"orders/{second % 2}: no majority");
            if (second == 10)
                problems.Tell("something else");

            time.Step(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(
            "orders/0: no majority; trying again\norders/1: no majority; trying again\n"
            + $"{WhereToLook}\nsomething else; trying again\n"
            + "orders/0: no majority; trying again\norders/1: no majority; trying again\n", output.ToString());
    }

    [Fact]
    public void Where_to_look_is_told_once_where_it_lasts_and_not_where_it_comes_again()
    {
        using var output = new StringWriter { NewLine = "\n" };
        var time = new SteppedTime();
        var problems = new RepeatedProblems(output, time);

        // Another SPU takes over within seconds each time, or what is in the way is another thing each time.
        for (int second = 0; second < 30; second++)
        {
            if (second is < 5 or >= 20 and < 25)
                problems.Tell("orders/0 is led by SPU 2");

            problems.Tell($"{second}");
            time.Step(TimeSpan.FromSeconds(1));
        }

        Assert.DoesNotContain(WhereToLook, output.ToString(), StringComparison.Ordinal);
        for (int second = 0; second < 100; second++)
        {
            Assert.Equal(second > 10, output.ToString().Contains(WhereToLook, StringComparison.Ordinal));
            problems.Tell("orders/0: the NATS stream is gone");
            time.Step(TimeSpan.FromSeconds(1));
        }

        Assert.Single(output.ToString().Split('\n'), line => line == WhereToLook);
    }

    private sealed class SteppedTime : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Step(TimeSpan time) => _now += time.Ticks;
    }
}
