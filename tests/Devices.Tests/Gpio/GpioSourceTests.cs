using System.Device.Gpio;
using System.Text;
using System.Text.Json;
using EdgeStream.Devices.Gpio;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests.Gpio;

/// <summary>The source over a driver whose lines the test moves; everything above the driver is what runs on real lines.</summary>
public sealed class GpioSourceTests
{
    private const int Line = 17;

    private readonly RecordingSink _sink = new();
    private SimulatedGpioDriver _chip = new();
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Edges_become_records_in_their_order()
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(new GpioLineOptions { Line = Line, Topic = "door" }));
        _chip.Drive(Line, PinValue.High);
        _chip.Drive(Line, PinValue.Low);
        _chip.Drive(Line, PinValue.High);

        await Condition.WaitAsync("three came", () => _sink.Stored.Count == 3);
        Assert.Equal(
            ["""{"line":17,"value":1,"edge":"rising"}""", """{"line":17,"value":0,"edge":"falling"}""", """{"line":17,"value":1,"edge":"rising"}"""],
            _sink.StoredValues);
        Assert.Equal("17", Encoding.UTF8.GetString(_sink.Stored[0].Key!.Value.Span));
    }

    [Theory]
    [InlineData(GpioEdge.Rising, "rising")]
    [InlineData(GpioEdge.Falling, "falling")]
    public async Task Only_the_wanted_edge_becomes_records(GpioEdge edge, string expected)
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(new GpioLineOptions { Line = Line, Topic = "door", Edge = edge }));
        for (int i = 0; i < 5; i++)
        {
            _chip.Drive(Line, PinValue.High);
            _chip.Drive(Line, PinValue.Low);
        }

        await Condition.WaitAsync("five came", () => _sink.Stored.Count == 5);
        Assert.All(_sink.StoredValues, value => Assert.Contains(expected, value, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Active_low_turns_levels_round()
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(new GpioLineOptions { Line = Line, Topic = "door", ActiveLow = true }));
        _chip.Drive(Line, PinValue.High);

        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["""{"line":17,"value":0,"edge":"falling"}"""]);
    }

    [Fact]
    public async Task Bouncing_becomes_one_record_when_the_line_has_come_to_rest()
    {
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "door", Debounce = TimeSpan.FromMilliseconds(5) });
        await using RunningSource run = await RunningSource.StartAsync(source);
        for (int i = 0; i < 5; i++)
            _chip.Drive(Line, i % 2 == 0 ? PinValue.High : PinValue.Low);

        await Condition.WaitAsync("one came", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(6));
            return _sink.Stored.Count == 1;
        });
        Assert.Equal(["""{"line":17,"value":1,"edge":"rising"}"""], _sink.StoredValues);
        Assert.Equal(5, source.Counters.Received);
    }

    [Fact]
    public async Task Polled_level_is_recorded_at_each_interval()
    {
        await using RunningSource run = await RunningSource.StartAsync(
            Source(new GpioLineOptions { Line = Line, Topic = "door", Poll = TimeSpan.FromSeconds(1) }));
        _time.Advance(TimeSpan.FromSeconds(1));
        await Condition.WaitAsync("the first came", () => _sink.StoredValues is ["""{"line":17,"value":0}"""]);
        _chip.Drive(Line, PinValue.High);
        _time.Advance(TimeSpan.FromSeconds(1));

        await Condition.WaitAsync("the second came", () => _sink.StoredValues is [_, """{"line":17,"value":1}"""]);
    }

    [Fact]
    public async Task Pulses_are_counted_for_each_interval_and_in_total()
    {
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "water", Edge = GpioEdge.Rising, CountEvery = TimeSpan.FromSeconds(10) });
        RunningSource run = await RunningSource.StartAsync(source);
        Pulse(3);
        await TotalAsync(3);
        Pulse(2);
        await TotalAsync(5);

        Pulse(4);
        await run.StopAsync();
        Assert.Contains("\"total\":9}", _sink.StoredValues[^1], StringComparison.Ordinal);
        await run.DisposeAsync();

        // Counted on where the same source runs again.
        await using RunningSource next = await RunningSource.StartAsync(source);
        Pulse(1);
        await TotalAsync(10);

        async Task TotalAsync(int expected)
        {
            await Condition.WaitAsync($"{expected} are recorded", () =>
            {
                _time.Advance(TimeSpan.FromSeconds(10));
                return _sink.StoredValues is [.., var last] && last.EndsWith($"\"total\":{expected}}}", StringComparison.Ordinal);
            });
            Assert.Equal(expected, _sink.StoredValues.Sum(value => JsonDocument.Parse(value).RootElement.GetProperty("count").GetInt32()));
        }
    }

    [Fact]
    public async Task Pulses_of_a_record_that_is_refused_stand_in_the_next_one()
    {
        _sink.Rejects = _ => true;
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "water", Edge = GpioEdge.Rising, CountEvery = TimeSpan.FromSeconds(1) });
        await using RunningSource run = await RunningSource.StartAsync(source);
        Pulse(3);
        _time.Advance(TimeSpan.FromSeconds(1));
        await Condition.WaitAsync("it is refused", () => source.Counters.DroppedFor(DropReason.Refused) == 1);
        _sink.Rejects = _ => false;
        Pulse(4);
        await run.StopAsync();
        Assert.Equal(["""{"line":17,"count":7,"total":7}"""], _sink.StoredValues);
    }

    [Fact]
    public async Task Lost_changes_are_counted_as_dropped()
    {
        var line = new ScriptedLine(new LineChange(true, TimeSpan.FromSeconds(1)), new LineChange(false, TimeSpan.FromSeconds(2), Lost: 5));
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "door" }, line);
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("two came", () => _sink.Stored.Count == 2);
        Assert.Equal((7, 5, 5), (source.Counters.Received, source.Counters.Dropped, source.Counters.DroppedFor(DropReason.KernelBufferOverflow)));
    }

    [Fact]
    public async Task Pulses_that_were_lost_are_counted_all_the_same()
    {
        var line = new ScriptedLine(new LineChange(true, TimeSpan.FromSeconds(1)), new LineChange(true, TimeSpan.FromSeconds(2), Lost: 5));
        GpioSource source = Source(
            new GpioLineOptions { Line = Line, Topic = "water", Edge = GpioEdge.Rising, CountEvery = TimeSpan.FromSeconds(10) }, line);
        RunningSource run = await RunningSource.StartAsync(source);
        await run.StopAsync();
        Assert.Equal(["""{"line":17,"count":7,"total":7}"""], _sink.StoredValues);
        Assert.Equal(0, source.Counters.Dropped);
    }

    [Fact]
    public async Task Record_has_the_time_of_its_change()
    {
        TimeSpan happened = _time.GetElapsedTime(0) - TimeSpan.FromMinutes(3);
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "door" }, new ScriptedLine(new LineChange(true, happened)));
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it came", () => _sink.Stored.Count == 1);
        Assert.Equal(_time.GetUtcNow() - TimeSpan.FromMinutes(3), _sink.Stored[0].Timestamp);
    }

    [Fact]
    public async Task Line_that_goes_away_ends_the_run_when_what_it_told_is_stored()
    {
        var line = new ScriptedLine(new LineChange(true, TimeSpan.Zero)) { Gone = new IOException("line 17 is gone") };
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "door" }, line);
        Assert.Equal("line 17 is gone", (await Assert.ThrowsAsync<IOException>(() => source.RunAsync(() => { }, CancellationToken.None))).Message);
        Assert.Single(_sink.Stored);
    }

    [Fact]
    public async Task Changes_beyond_what_can_wait_are_counted_and_the_others_keep_their_order()
    {
        GpioSource source = Source(new GpioLineOptions { Line = Line, Topic = "door" });
        await using RunningSource run = await RunningSource.StartAsync(source);
        _sink.Close();
        int changes = (GpioSource.MaxWaiting * 3) + 1;
        for (int i = 0; i < changes; i++)
            _chip.Drive(Line, i % 2 == 0 ? PinValue.High : PinValue.Low);

        _sink.Open();
        await Condition.WaitAsync("all that could wait are stored", () => source.Counters.Received == changes && source.Counters.Dropped > 0
            && source.Counters.Stored > 0);
        Assert.Contains("wait for the log", source.Counters.LastDrop, StringComparison.Ordinal);
        await run.StopAsync();
        Assert.InRange(source.Counters.Stored + source.Counters.Dropped, 1, changes);
    }

    [Fact]
    public async Task Stop_stores_what_has_come_in_before()
    {
        RunningSource run = await RunningSource.StartAsync(Source(new GpioLineOptions { Line = Line, Topic = "door" }));
        _sink.Close();
        _chip.Drive(Line, PinValue.High);
        await Condition.WaitAsync("it is offered", () => _sink.Offered.Count == 1);
        Task stopped = run.StopAsync();
        _sink.Open();
        await stopped;

        Assert.Single(_sink.Stored);
        await run.DisposeAsync();
    }

    [Fact]
    public async Task Chip_that_is_not_there_is_one_clear_line_and_is_tried_again()
    {
        var options = new GpioLineOptions { Line = Line, Topic = "door" };
        var source = new GpioSource(
            "gpiochip99", () => GpioChip.OpenInput("gpiochip99", options), options, _sink, TimeProvider.System, NullLogger<GpioSource>.Instance);
        await using var supervisor = new SourceSupervisor([source], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();

        await Condition.WaitAsync("it waits", () => supervisor.Statuses[0].State == SourceState.Waiting);
        Assert.Equal(
            "there is no /dev/gpiochip99; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none", supervisor.Statuses[0].LastError);
    }

    [Theory]
    [InlineData("/dev/null", "/dev/null is no GPIO chip: inappropriate ioctl for device; 'gpiodetect' lists the chips")]
    [InlineData("/dev/no-such-chip", "there is no /dev/no-such-chip; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none")]
    public void Path_that_is_no_chip_is_one_clear_line(string chip, string expected) =>
        Assert.Equal(expected, GpioChip.FindProblem(chip, Line));

    [Fact]
    public void Label_that_no_chip_has_is_one_clear_line()
    {
        Assert.SkipUnless(
            Environment.IsPrivilegedProcess || Directory.GetFiles("/dev", "gpiochip*").Length == 0, "this machine has chips that only root may look at");
        Assert.Equal("no GPIO chip has the label 'pinctrl-nobody'; 'gpiodetect' lists the chips", GpioChip.FindProblem("pinctrl-nobody", Line));
    }

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(5000, 0)]
    [InlineData(17, -1)]
    [InlineData(17, 100_000)]
    public void Values_that_cannot_be_are_refused(int line, int debounceMilliseconds) => Assert.Throws<SourceConfigurationException>(() =>
        Source(new GpioLineOptions { Line = line, Topic = "door", Debounce = TimeSpan.FromMilliseconds(debounceMilliseconds) }));

    private void Pulse(int count)
    {
        for (int i = 0; i < count; i++)
        {
            _chip.Drive(Line, PinValue.High);
            _chip.Drive(Line, PinValue.Low);
        }
    }

    private GpioSource Source(GpioLineOptions options, IInputLine line) =>
        new("simulated", () => line, options, _sink, _time, NullLogger<GpioSource>.Instance);

    private GpioSource Source(GpioLineOptions options) => new(
        "simulated",
        () => new DriverLine(_chip = new SimulatedGpioDriver(), Line, options, _time),
        options, _sink, _time, NullLogger<GpioSource>.Instance);

    /// <summary>A line that tells what a test has written down, and then stays as it is or goes away.</summary>
    private sealed class ScriptedLine(params LineChange[] changes) : IInputLine
    {
        public int Number => Line;

        public Exception? Gone { get; init; }

        public bool Read() => false;

        public Task WatchAsync(Action<LineChange> seen, CancellationToken cancellationToken)
        {
            foreach (LineChange change in changes)
                seen(change);

            return Gone is null
                ? Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default)
                : Task.FromException(Gone);
        }

        public void Dispose()
        {
        }
    }
}
