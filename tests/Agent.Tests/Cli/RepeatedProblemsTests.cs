using EdgeStream.Agent.Cli;

namespace EdgeStream.Agent.Tests.Cli;

public sealed class RepeatedProblemsTests
{
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
            "orders/0: no majority; trying again\norders/1: no majority; trying again\nsomething else; trying again\n"
            + "orders/0: no majority; trying again\norders/1: no majority; trying again\n", output.ToString());
    }

    private sealed class SteppedTime : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Step(TimeSpan time) => _now += time.Ticks;
    }
}
