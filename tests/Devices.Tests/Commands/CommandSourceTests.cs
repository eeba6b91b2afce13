using System.Diagnostics;
using System.Globalization;
using System.Text;
using EdgeStream.Devices.Commands;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Devices.Tests.Commands;

/// <summary>Real programs, most of them lines of a real shell that the test names itself.</summary>
public sealed class CommandSourceTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly RecordingSink _sink = new();
    private readonly LinesLogger _log = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Lines_become_records_as_they_are_printed()
    {
        await using RunningSource run = await RunningSource.StartAsync(Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "echo one; echo two; echo; exec sleep 1000"],
            Topic = "t",
            Key = "k",
        }));
        await Condition.WaitAsync("both came", () => _sink.StoredValues is ["one", "two"]);
        Assert.Equal("k", Encoding.UTF8.GetString(_sink.Stored[0].Key!.Value.Span));
        Assert.False(run.Ended.IsCompleted);
    }

    [Fact]
    public async Task There_is_no_shell_between()
    {
        await RunToItsEndAsync(Source(new CommandOptions { Command = ["echo", "$HOME; *", "\"two  words\""], Topic = "t" }));
        Assert.Equal(["$HOME; * \"two  words\""], _sink.StoredValues);
    }

    [Fact]
    public async Task Program_that_ends_is_an_error_with_its_code_and_its_last_complaint_after_its_lines_are_stored()
    {
        IOException error = await RunToItsEndAsync(Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "echo reading; echo 'no sensor' >&2; exit 3"],
            Topic = "t",
        }));
        Assert.Equal("'/bin/sh' ended with code 3: no sensor", error.Message);
        Assert.Equal(["reading"], _sink.StoredValues);
        Assert.Contains("command sh for t: no sensor", _log.Lines);
    }

    [Fact]
    public async Task Program_is_started_again()
    {
        await using var supervisor = new SourceSupervisor(
            [Source(new CommandOptions { Command = ["echo", "again"], Topic = "t" })], TimeProvider.System, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        await Condition.WaitAsync("it ran twice", () => _sink.StoredValues is ["again", "again", ..]);
    }

    [Theory]
    [InlineData("no-such-program-anywhere", "there is no program 'no-such-program-anywhere'; give its whole path, or install it")]
    [InlineData("/no/such/program", "there is no program '/no/such/program'; give its whole path, or install it")]
    [InlineData("/etc/passwd", "'/etc/passwd' is no program; 'chmod +x /etc/passwd' makes it one")]
    public async Task Program_that_cannot_be_started_is_one_clear_line(string program, string expected) =>
        Assert.Equal(expected, (await RunToItsEndAsync(Source(new CommandOptions { Command = [program], Topic = "t" }))).Message);

    [Fact]
    public async Task Stop_ends_the_program_and_all_that_it_has_started_and_stores_its_last_words()
    {
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "trap 'echo bye; exit' TERM; sleep 1000 & echo $!; while :; do sleep 0.1; done"],
            Topic = "t",
        });
        RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it printed", () => _sink.Stored.Count == 1);
        int grandchild = int.Parse(_sink.StoredValues[0], CultureInfo.InvariantCulture);
        Assert.True(IsRunning(grandchild));

        await run.StopAsync();

        Assert.Equal("bye", _sink.StoredValues[^1]);
        await Condition.WaitAsync("what it started is gone", () => !IsRunning(grandchild));
        await run.DisposeAsync();
    }

    [Fact]
    public async Task What_a_program_leaves_behind_does_not_keep_the_source_from_its_end()
    {
        await RunToItsEndAsync(Source(new CommandOptions { Command = ["/bin/sh", "-c", "sleep 1000 & echo $!"], Topic = "t" }));
        int left = int.Parse(Assert.Single(_sink.StoredValues), CultureInfo.InvariantCulture);
        await Condition.WaitAsync("it is gone", () => !IsRunning(left));
    }

    [Fact]
    public async Task Line_that_is_too_long_is_counted_and_the_next_one_stored()
    {
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo next"],
            Topic = "t",
        });
        await RunToItsEndAsync(source);
        Assert.Equal(["next"], _sink.StoredValues);
        Assert.Equal((2, 1, 1), (source.Counters.Received, source.Counters.Stored, source.Counters.DroppedFor(DropReason.TooLong)));
    }

    [Fact]
    public async Task Too_long_lines_are_counted_where_nothing_else_comes()
    {
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "head -c 10000000 /dev/zero | tr '\\0' x; exec sleep 1000"],
            Topic = "t",
        });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it is counted", () => source.Counters.DroppedFor(DropReason.TooLong) == 1);
    }

    [Fact]
    public async Task Program_can_be_ended_by_a_broken_pipe()
    {
        await RunToItsEndAsync(Source(new CommandOptions { Command = ["/bin/sh", "-c", "grep SigIgn /proc/self/status"], Topic = "t" }));
        const int SigPipe = 13;
        string ignored = Assert.Single(_sink.StoredValues).Split('\t')[1];
        Assert.Equal(0, long.Parse(ignored, NumberStyles.HexNumber, CultureInfo.InvariantCulture) & (1 << (SigPipe - 1)));
    }

    [Fact]
    public async Task Program_that_is_faster_than_the_log_waits()
    {
        string progress = _directory.At("progress");
        _sink.Close();
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", $"for i in 1 2 3 4 5 6 7 8; do head -c 60000 /dev/zero | tr '\\0' x; echo; echo $i >> {progress}; done; exec sleep 1000"],
            Topic = "t",
        });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("the first is offered", () => _sink.Offered.Count == 1);

        // One line in our buffer, one or two in the pipe's 64 KiB: the program cannot have come far.
        Assert.InRange(File.Exists(progress) ? File.ReadAllLines(progress).Length : 0, 0, 3);
        _sink.Open();
        await Condition.WaitAsync("all came", () => _sink.Stored.Count == 8);
    }

    [Fact]
    public async Task Program_is_run_at_its_interval_and_one_that_fails_is_counted()
    {
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", $"echo run; test ! -e {_directory.At("broken")} || {{ echo 'it broke' >&2; exit 1; }}"],
            Topic = "t",
            Every = TimeSpan.FromMilliseconds(500),
        });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it ran twice", () => _sink.StoredValues is ["run", "run", ..]);
        Assert.Equal(0, source.Counters.Dropped);

        File.WriteAllText(_directory.At("broken"), "");
        await Condition.WaitAsync("it has failed", () => source.Counters.DroppedFor(DropReason.NotReadable) > 0);
        Assert.Equal("'/bin/sh' ended with code 1: it broke", source.Counters.LastDrop);
        Assert.False(run.Ended.IsCompleted);
    }

    [Fact]
    public async Task Program_that_still_runs_when_it_is_due_again_is_killed_and_counted()
    {
        CommandSource source = Source(new CommandOptions
        {
            Command = ["/bin/sh", "-c", "echo begin; exec sleep 1000"],
            Topic = "t",
            Every = TimeSpan.FromMilliseconds(500),
        });
        await using RunningSource run = await RunningSource.StartAsync(source);
        await Condition.WaitAsync("it ran again", () => _sink.StoredValues is ["begin", "begin", ..]);
        Assert.Equal("'/bin/sh' still ran when it was due again, and was killed", source.Counters.LastDrop);
    }

    [Fact]
    public async Task Error_output_without_end_does_not_fill_the_log()
    {
        await RunToItsEndAsync(Source(new CommandOptions { Command = ["/bin/sh", "-c", "yes oops | head -n 100000 >&2"], Topic = "t" }));
        Assert.Equal(10, _log.Lines.Count(line => line == "command sh for t: oops"));
    }

    [Theory]
    [InlineData(0.1, "sh")]
    [InlineData(1, "")]
    [InlineData(1, "s\0h")]
    public void Values_that_cannot_be_are_refused(double seconds, string program) => Assert.Throws<SourceConfigurationException>(() =>
        Source(new CommandOptions { Command = [program], Topic = "t", Every = TimeSpan.FromSeconds(seconds) }));

    private static bool IsRunning(int id)
    {
        try
        {
            using Process process = Process.GetProcessById(id);
            return !process.HasExited && !File.ReadAllText($"/proc/{id}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (Exception error) when (error is ArgumentException or IOException or InvalidOperationException)
        {
            return false;
        }
    }

    private static Task<IOException> RunToItsEndAsync(CommandSource source) =>
        Assert.ThrowsAsync<IOException>(() => source.RunAsync(() => { }, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30)));

    private CommandSource Source(CommandOptions options) => new(options, _sink, TimeProvider.System, _log);

    private sealed class LinesLogger : ILogger<CommandSource>
    {
        private readonly List<string> _lines = [];

        public IReadOnlyList<string> Lines
        {
            get
            {
                lock (_lines)
                    return [.. _lines];
            }
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
                _lines.Add(formatter(state, exception));
        }
    }
}
