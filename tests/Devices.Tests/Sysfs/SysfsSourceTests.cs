using System.Diagnostics;
using System.Text;
using EdgeStream.Devices.Sysfs;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests.Sysfs;

/// <summary>The source over files that the test writes as a driver would.</summary>
public sealed class SysfsSourceTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RecordingSink _sink = new();
    private readonly FakeTimeProvider _time = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Value_is_recorded_at_once_and_at_each_interval()
    {
        string file = Write("temp", "21562\n");
        await using RunningSource run = await RunningSource.StartAsync(
            Source(new SysfsOptions { Path = file, Topic = "t", Scale = 0.001m, Unit = "°C", Every = TimeSpan.FromSeconds(5) }));
        await Condition.WaitAsync("the first came", () => _sink.Stored.Count == 1);
        Write("temp", "21500\n");
        _time.Advance(TimeSpan.FromSeconds(5));
        await Condition.WaitAsync("the second came", () => _sink.Stored.Count == 2);

        Assert.Equal(["""{"value":21.562,"unit":"°C"}""", """{"value":21.5,"unit":"°C"}"""], _sink.StoredValues);
        Assert.Equal(file, Encoding.UTF8.GetString(_sink.Stored[0].Key!.Value.Span));
    }

    [Fact]
    public async Task Offset_is_added_before_the_scale_as_iio_has_it()
    {
        string file = Write("in_temp_raw", "1000");
        await using RunningSource run = await RunningSource.StartAsync(
            Source(new SysfsOptions { Path = file, Topic = "t", Offset = -600, Scale = 0.25m, Key = "room" }));
        await Condition.WaitAsync("it came", () => _sink.StoredValues is ["""{"value":100}"""]);
        Assert.Equal("room", Encoding.UTF8.GetString(_sink.Stored[0].Key!.Value.Span));
    }

    [Fact]
    public async Task Only_changes_become_records_and_after_a_while_a_value_that_did_not()
    {
        string file = Write("temp", "100");
        SysfsSource source = Source(new SysfsOptions
        {
            Path = file,
            Topic = "t",
            Every = TimeSpan.FromSeconds(1),
            Change = 10,
            AtLeastEvery = TimeSpan.FromSeconds(4),
        });
        await using RunningSource run = await RunningSource.StartAsync(source);
        foreach (string value in (string[])["105", "95", "111", "111", "111", "111"])
        {
            Write("temp", value);
            long before = source.Counters.Received;
            _time.Advance(TimeSpan.FromSeconds(1));
            await Condition.WaitAsync($"{value} is read", () => source.Counters.Received > before);
        }

        // At 0 s, 3 s (by 11), 7 s (after 4 s).
        Assert.Equal(["""{"value":100}""", """{"value":111}"""], _sink.StoredValues);
        _time.Advance(TimeSpan.FromSeconds(1));
        await Condition.WaitAsync("the old value came again", () => _sink.StoredValues is [_, _, """{"value":111}"""]);
    }

    [Fact]
    public async Task Missing_file_is_counted_the_others_go_on_and_it_is_read_again_when_it_is_back()
    {
        Write("28-a/temperature", "1");
        Write("28-b/temperature", "2");
        SysfsSource source = Source(new SysfsOptions { Path = _directory.At("28-*/temperature"), Topic = "t", Every = TimeSpan.FromSeconds(1) });
        await using RunningSource run = await RunningSource.StartAsync(source);
        Assert.Equal(["""{"value":1}""", """{"value":2}"""], _sink.StoredValues);

        Directory.Delete(_directory.At("28-a"), recursive: true);
        await TickAsync("it is missed", () => source.Counters.DroppedFor(DropReason.NotReadable) > 0);
        Assert.Equal($"'{_directory.At("28-a/temperature")}' is not there; is the sensor plugged in and its driver loaded?", source.Counters.LastDrop);
        Assert.Equal("""{"value":2}""", _sink.StoredValues[^1]);

        Write("28-a/temperature", "3");
        await TickAsync("it is back", () => _sink.StoredValues.Contains("""{"value":3}"""));

        Write("28-c/temperature", "4");
        await TickAsync("a new one is found", () => _sink.StoredValues.Contains("""{"value":4}"""));
        Assert.False(run.Ended.IsCompleted);
    }

    [Fact]
    public async Task Source_waits_with_a_clear_line_while_no_file_can_be_read_and_goes_on_by_itself()
    {
        string file = Write("temp", "1");
        var source = new SysfsSource(
            new SysfsOptions { Path = file, Topic = "t", Every = TimeSpan.FromMilliseconds(100) }, _sink, TimeProvider.System, NullLogger<SysfsSource>.Instance);
        await using var supervisor = new SourceSupervisor([source], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("it runs", () => supervisor.Statuses[0].State == SourceState.Running);

        File.Delete(file);
        await Condition.WaitAsync("it waits", () => supervisor.Statuses[0].State == SourceState.Waiting);
        Assert.Equal($"'{file}' is not there; is the sensor plugged in and its driver loaded?", supervisor.Statuses[0].LastError);

        Write("temp", "7");
        await Condition.WaitAsync("it runs again", () => supervisor.Statuses[0].State == SourceState.Running && _sink.StoredValues.Contains("""{"value":7}"""));
    }

    [Fact]
    public async Task File_that_is_gone_among_others_is_told_until_it_is_back_and_then_as_over()
    {
        string good = Write("28-a/temperature", "1"), gone = Write("28-b/temperature", "2");
        var source = new SysfsSource(
            new SysfsOptions { Path = _directory.At("28-*/temperature"), Topic = "t", Every = TimeSpan.FromMilliseconds(100) },
            _sink, TimeProvider.System, NullLogger<SysfsSource>.Instance);
        await using var supervisor = new SourceSupervisor([source], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("it runs", () => supervisor.Statuses[0] is { State: SourceState.Running, Shortfall: null });

        File.Delete(gone);
        await Condition.WaitAsync("it is missed", () => supervisor.Statuses[0].Shortfall is not null);
        string problem = $"'{gone}' is not there; is the sensor plugged in and its driver loaded?";
        SourceStatus status = supervisor.Statuses[0];
        Assert.Equal((SourceState.Running, "1 of 2 files", problem, null), (status.State, status.Shortfall!.Extent, status.LastError, status.LastErrorAge));
        Assert.Equal([problem], status.Shortfall.Problems);

        Write("28-b/temperature", "3");
        await Condition.WaitAsync("it is back", () => supervisor.Statuses[0].Shortfall is null);
        status = supervisor.Statuses[0];
        Assert.Equal((SourceState.Running, problem), (status.State, status.LastError));
        Assert.NotNull(status.LastErrorAge);
        Assert.True(File.Exists(good));
    }

    [Fact]
    public void What_would_keep_files_from_being_read_is_found_without_a_source()
    {
        var options = new SysfsOptions { Path = _directory.At("28-*"), Topic = "t" };
        Assert.Equal([$"no file is called '{_directory.At("28-*")}'; is the sensor plugged in and its driver loaded?"], SysfsSource.FindProblems(options));
        Write("28-a", "1");
        Assert.Empty(SysfsSource.FindProblems(options));
        Write("28-b", "nothing");
        Assert.Equal([$"'{_directory.At("28-b")}': 'nothing' is no number"], SysfsSource.FindProblems(options));
        Assert.Equal(
            ["'/no/such' is not there; is the sensor plugged in and its driver loaded?"],
            SysfsSource.FindProblems(options with { Path = "/no/such" }));
    }

    [Fact]
    public async Task Value_that_is_none_is_counted_and_the_next_good_one_recorded()
    {
        string good = Write("a", "1"), bad = Write("b", "not ready\n");
        SysfsSource source = Source(new SysfsOptions { Path = _directory.At("?"), Topic = "t", Every = TimeSpan.FromSeconds(1) });
        await using RunningSource run = await RunningSource.StartAsync(source);
        Assert.Equal((2, 1, 1), (source.Counters.Received, source.Counters.Stored, source.Counters.DroppedFor(DropReason.BadValue)));
        Assert.Equal($"'{bad}': 'not ready' is no number", source.Counters.LastDrop);
        Write("b", "5");
        await TickAsync("it is good now", () => _sink.StoredValues.Contains("""{"value":5}"""));
        Assert.True(File.Exists(good));
    }

    [Fact]
    public async Task Fifo_that_nobody_writes_to_and_a_file_without_end_do_not_hold_up_the_others()
    {
        Write("a", "1");
        using (Process fifo = Process.Start("mkfifo", [_directory.At("b")]))
            await fifo.WaitForExitAsync();

        Write("c", new string('1', 5000));
        File.CreateSymbolicLink(_directory.At("d"), "/dev/zero");
        SysfsSource source = Source(new SysfsOptions { Path = _directory.At("?"), Topic = "t" });
        await using RunningSource run = await RunningSource.StartAsync(source);
        Assert.Equal(["""{"value":1}"""], _sink.StoredValues);
        Assert.Equal((4, 3), (source.Counters.Received, source.Counters.Dropped));
    }

    [Fact]
    public async Task No_file_at_all_is_one_clear_line()
    {
        SysfsSource source = Source(new SysfsOptions { Path = _directory.At("28-*/temperature"), Topic = "t" });
        IOException error = await Assert.ThrowsAsync<IOException>(() => source.RunAsync(() => { }, CancellationToken.None));
        Assert.Equal($"no file is called '{_directory.At("28-*/temperature")}'; is the sensor plugged in and its driver loaded?", error.Message);
    }

    [Fact]
    public async Task Thermal_zone_of_this_machine_is_read()
    {
        Assert.SkipUnless(new FilePattern("/sys/class/thermal/thermal_zone*/temp").Files().Count > 0, "this machine has no thermal zone");
        await using RunningSource run = await RunningSource.StartAsync(
            Source(new SysfsOptions { Path = "/sys/class/thermal/thermal_zone*/temp", Topic = "t", Scale = 0.001m }));
        Assert.NotEmpty(_sink.Stored);
    }

    [Theory]
    [InlineData("temp", 1, 1.0, null)]
    [InlineData("/temp", 0.01, 1.0, null)]
    [InlineData("/temp", 1, 0.0, null)]
    [InlineData("/temp", 1, 1.0, 0.0)]
    public void Values_that_cannot_be_are_refused(string path, double seconds, double scale, double? change) => Assert.Throws<SourceConfigurationException>(() =>
        Source(new SysfsOptions { Path = path, Topic = "t", Every = TimeSpan.FromSeconds(seconds), Scale = (decimal)scale, Change = (decimal?)change }));

    private string Write(string name, string text)
    {
        string path = _directory.At(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);

        // At once, as a driver does it: a reader never sees half of it.
        File.WriteAllText(path + ".new", text);
        File.Move(path + ".new", path, overwrite: true);
        return path;
    }

    private Task TickAsync(string what, Func<bool> condition) => Condition.WaitAsync(what, () =>
    {
        _time.Advance(TimeSpan.FromSeconds(1));
        return condition();
    });

    private SysfsSource Source(SysfsOptions options) => new(options, _sink, _time, NullLogger<SysfsSource>.Instance);
}
