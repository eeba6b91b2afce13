using System.Device.Gpio;
using EdgeStream.Devices.Gpio;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests.Gpio;

/// <summary>The sink over a driver whose lines the test can look at; everything above the driver is what runs on real lines.</summary>
public sealed class GpioSinkTests
{
    private const int Line = 5;

    private readonly ListFeed _feed = new();
    private readonly SimulatedGpioDriver _chip = new();
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Records_switch_the_line_in_their_order()
    {
        GpioSink sink = Sink(new GpioSinkOptions { Line = Line, Topic = "commands" });
        await using RunningSource run = await RunningSource.StartAsync(sink);
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
        foreach ((string value, bool on) in ((string, bool)[])
            [("on", true), ("off", false), ("1", true), ("0", false), (" TRUE\n", true), ("False", false), ("high", true), ("low", false),
             ("toggle", true), ("toggle", false), ("on", true), ("on", true)])
        {
            await IsDoneAsync(value);
            Assert.Equal(on, _chip.LevelOf(Line) == PinValue.High);
        }

        Assert.Equal((12, 0), (sink.Counters.Stored, sink.Counters.Dropped));
    }

    [Fact]
    public async Task Active_low_turns_levels_round_also_the_initial_one()
    {
        await using RunningSource run = await RunningSource.StartAsync(
            Sink(new GpioSinkOptions { Line = Line, Topic = "commands", ActiveLow = true, Initial = true }));
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
        await IsDoneAsync("toggle");
        Assert.Equal(PinValue.High, _chip.LevelOf(Line));
        await IsDoneAsync("on");
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
    }

    [Theory]
    [InlineData("")]
    [InlineData("open the pod bay doors")]
    [InlineData("2")]
    [InlineData("on off")]
    public async Task What_says_something_else_is_refused_and_the_sink_goes_on(string value)
    {
        GpioSink sink = Sink(new GpioSinkOptions { Line = Line, Topic = "commands" });
        await using RunningSource run = await RunningSource.StartAsync(sink);
        await IsDoneAsync(value);
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
        Assert.Equal($"'{value}' at offset 0 of commands is none of on, off, toggle", sink.Counters.LastDrop);
        await IsDoneAsync("on");
        Assert.Equal(PinValue.High, _chip.LevelOf(Line));
        Assert.Equal((1, 1), (sink.Counters.Stored, sink.Counters.Dropped));
    }

    [Fact]
    public async Task Refusal_stays_one_short_line_whatever_the_value()
    {
        GpioSink sink = Sink(new GpioSinkOptions { Line = Line, Topic = "commands" });
        await using RunningSource run = await RunningSource.StartAsync(sink);
        await IsDoneAsync("\u001b[31mred\r\n" + new string('x', 1_000_000));
        Assert.StartsWith("'?[31mred??xxx", sink.Counters.LastDrop, StringComparison.Ordinal);
        Assert.InRange(sink.Counters.LastDrop!.Length, 1, 150);
    }

    [Fact]
    public async Task Pulse_ends_by_itself_and_the_next_record_waits_for_it()
    {
        await using RunningSource run = await RunningSource.StartAsync(
            Sink(new GpioSinkOptions { Line = Line, Topic = "commands", Pulse = TimeSpan.FromMilliseconds(500) }));
        _feed.Add("on");
        _feed.Add("on");
        await Condition.WaitAsync("it is on", () => _chip.LevelOf(Line) == PinValue.High);
        _time.Advance(TimeSpan.FromMilliseconds(499));
        Assert.Equal((0, true), (_feed.Done, _chip.LevelOf(Line) == PinValue.High));

        // The delay may begin after the line is on, so the clock is moved until it is over.
        await Condition.WaitAsync("both are over", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            return _feed.Done == 2;
        });
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
    }

    [Fact]
    public async Task Stop_during_a_pulse_leaves_the_line_off()
    {
        RunningSource run = await RunningSource.StartAsync(
            Sink(new GpioSinkOptions { Line = Line, Topic = "commands", Pulse = TimeSpan.FromHours(1) }));
        _feed.Add("on");
        await Condition.WaitAsync("it is on", () => _chip.LevelOf(Line) == PinValue.High);
        await run.DisposeAsync();
        Assert.Equal((1, PinValue.Low), (_feed.Done, _chip.LevelOf(Line)));
    }

    [Theory]
    [InlineData(null, false, false)]
    [InlineData(null, true, true)]
    [InlineData(GpioAtStop.Off, true, false)]
    [InlineData(GpioAtStop.On, false, true)]
    [InlineData(GpioAtStop.Keep, false, true)]
    public async Task Stop_leaves_the_line_as_configured(GpioAtStop? atStop, bool initial, bool expected)
    {
        RunningSource run = await RunningSource.StartAsync(
            Sink(new GpioSinkOptions { Line = Line, Topic = "commands", AtStop = atStop, Initial = initial }));
        await IsDoneAsync(atStop == GpioAtStop.Keep || !expected ? "on" : "off");
        await run.DisposeAsync();
        Assert.Equal(expected, _chip.LevelOf(Line) == PinValue.High);
    }

    [Fact]
    public async Task Records_of_other_keys_are_for_others()
    {
        GpioSink sink = Sink(new GpioSinkOptions { Line = Line, Topic = "commands", Key = "pump" });
        await using RunningSource run = await RunningSource.StartAsync(sink);
        await IsDoneAsync("on", "lamp");
        await IsDoneAsync("on");
        Assert.Equal(PinValue.Low, _chip.LevelOf(Line));
        await IsDoneAsync("on", "pump");
        Assert.Equal(PinValue.High, _chip.LevelOf(Line));
        Assert.Equal((1, 0), (sink.Counters.Stored, sink.Counters.Dropped));
    }

    [Theory]
    [InlineData(-1, 1, false)]
    [InlineData(5000, 1, false)]
    [InlineData(5, 0, false)]
    [InlineData(5, 4_000_000, false)]
    [InlineData(5, 500, true)]
    public void Values_that_cannot_be_are_refused(int line, int pulseMilliseconds, bool initial) => Assert.Throws<SourceConfigurationException>(() =>
        Sink(new GpioSinkOptions { Line = line, Topic = "commands", Pulse = TimeSpan.FromMilliseconds(pulseMilliseconds), Initial = initial }));

    private async Task IsDoneAsync(string value, string? key = null)
    {
        int before = _feed.Done;
        _feed.Add(value, key);
        await Condition.WaitAsync($"'{value}' is done", () => _feed.Done > before);
    }

    private GpioSink Sink(GpioSinkOptions options) => new("simulated", () => (_chip, Line), options, _feed, _time, NullLogger<GpioSink>.Instance);
}
