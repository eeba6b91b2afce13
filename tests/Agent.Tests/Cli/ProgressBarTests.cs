using EdgeStream.Agent.Cli;

namespace EdgeStream.Agent.Tests.Cli;

public class ProgressBarTests
{
    private readonly StringWriter _terminal = new();
    private readonly Clock _clock = new();

    [Fact]
    public void Line_says_how_far_it_is_and_how_long_it_will_take()
    {
        using var bar = new ProgressBar("verifying", 200, _terminal, 80, _clock);
        bar.Show(0);
        Assert.Equal("verifying [..............................]   0 %, -:--:-- left", OnTerminal());

        _clock.Now += TimeSpan.FromSeconds(30);
        bar.Show(50);
        Assert.Equal("verifying [#######.......................]  25 %, 0:01:30 left", OnTerminal());

        _clock.Now += TimeSpan.FromSeconds(1);
        bar.Show(300);
        Assert.Equal("verifying [##############################] 100 %, 0:00:00 left", OnTerminal());
    }

    [Fact]
    public void Line_is_drawn_ten_times_a_second_at_most()
    {
        using var bar = new ProgressBar("verifying", 1000, _terminal, 80, _clock);
        for (int i = 0; i < 1000; i++)
        {
            bar.Show(i);
            _clock.Now += TimeSpan.FromMilliseconds(1);
        }

        Assert.Equal(10, _terminal.ToString().Count(c => c == '\r'));
    }

    [Fact]
    public void Nothing_is_left_of_it_at_the_end()
    {
        using (var bar = new ProgressBar("verifying", 200, _terminal, 80, _clock))
            bar.Show(100);

        Assert.Equal("", OnTerminal());
    }

    [Fact]
    public void Line_does_not_wrap_on_a_narrow_terminal()
    {
        using var bar = new ProgressBar("verifying", 200, _terminal, 20, _clock);
        bar.Show(100);
        Assert.Equal("verifying [########", OnTerminal());
    }

    /// <summary>What stands there once all that was written has been drawn over each other.</summary>
    private string OnTerminal()
    {
        char[] line = new char[200];
        Array.Fill(line, ' ');
        int at = 0;
        foreach (char c in _terminal.ToString())
        {
            if (c == '\r')
                at = 0;
            else
                line[at++] = c;
        }

        return new string(line).TrimEnd();
    }

    private sealed class Clock : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
