using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Devices.Tests;

public sealed class SourceSupervisorTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Source_that_fails_is_run_again_and_the_others_do_not_notice()
    {
        var bad = new ScriptedSource("bad", _ => throw new IOException("no such device"));
        var good = new ScriptedSource("good", token => Task.Delay(Timeout.InfiniteTimeSpan, token));
        await using SourceSupervisor supervisor = Start(bad, good);

        await Condition.WaitAsync("bad was run five times", () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return bad.Runs >= 5;
        });
        Assert.Equal(1, good.Runs);
        Assert.Equal(SourceState.Running, supervisor.Statuses[1].State);
        Assert.Equal("no such device", supervisor.Statuses[0].LastError);
    }

    [Fact]
    public async Task Pause_grows_up_to_its_limit()
    {
        var bad = new ScriptedSource("bad", _ => throw new IOException("no"));
        DateTimeOffset begin = _time.GetUtcNow();
        await using SourceSupervisor supervisor = Start(bad);

        await Condition.WaitAsync("bad was run ten times", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(500));
            return bad.Runs >= 10;
        });

        // At least half of 1, 2, 4, 8, 16, 30, 30, 30, 30 seconds: without growth nine pauses would be over within 9 s.
        Assert.True(_time.GetUtcNow() - begin > TimeSpan.FromSeconds(60), $"ten runs within {(_time.GetUtcNow() - begin).TotalSeconds} s");
    }

    [Fact]
    public async Task Pause_grows_also_where_it_works_for_a_moment_each_time()
    {
        var good = new ScriptedSource("good", _ => throw new IOException("gone again"));
        DateTimeOffset begin = _time.GetUtcNow();
        await using SourceSupervisor supervisor = Start(good);

        await Condition.WaitAsync("it was run eight times", () =>
        {
            _time.Advance(TimeSpan.FromMilliseconds(500));
            return good.Runs >= 8;
        });
        Assert.True(_time.GetUtcNow() - begin > TimeSpan.FromSeconds(40), $"eight runs within {(_time.GetUtcNow() - begin).TotalSeconds} s");
    }

    [Fact]
    public async Task Source_that_ends_by_itself_counts_as_failed()
    {
        var ends = new ScriptedSource("ends", _ => Task.CompletedTask);
        await using SourceSupervisor supervisor = Start(ends);

        await Condition.WaitAsync("it waits", () => supervisor.Statuses[0].State == SourceState.Waiting);
    }

    [Fact]
    public async Task Disposing_stops_all_also_those_that_wait()
    {
        var bad = new ScriptedSource("bad", _ => throw new IOException("no"));
        var good = new ScriptedSource("good", token => Task.Delay(Timeout.InfiniteTimeSpan, token));
        SourceSupervisor supervisor = Start(bad, good);
        await Condition.WaitAsync("both are where they should be", () => supervisor.Statuses[0].State == SourceState.Waiting && good.Runs == 1);

        await supervisor.DisposeAsync();

        Assert.All(supervisor.Statuses, status => Assert.Equal(SourceState.Stopped, status.State));
    }

    private SourceSupervisor Start(params ISource[] sources)
    {
        var supervisor = new SourceSupervisor(sources, _time, NullLogger<SourceSupervisor>.Instance);
        supervisor.Start();
        return supervisor;
    }

    private sealed class ScriptedSource(string name, Func<CancellationToken, Task> run) : ISource
    {
        private int _runs;

        public int Runs => Volatile.Read(ref _runs);

        public string Name => name;

        public SourceCounters Counters { get; } = new();

        public Task RunAsync(Action running, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _runs);
            if (name == "good")
                running();

            return run(cancellationToken);
        }
    }
}
