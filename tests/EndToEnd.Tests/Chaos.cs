using System.Diagnostics;
using EdgeStream.Client;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Does bad things at random moments, each at least so many times, as long as something else runs.</summary>
internal sealed class Chaos
{
    private readonly Random _random;
    private readonly List<(string Name, Func<Task> Act)> _acts = [];

    public Chaos(int seed)
    {
        Seed = seed;
        _random = new Random(seed);
        TestContext.Current.SendDiagnosticMessage($"chaos seed {seed}");
        Console.WriteLine($"chaos seed {seed}");
    }

    public int Seed { get; }

    public static int NewSeed() =>
        int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_CHAOS_SEED"), out int given) ? given : Random.Shared.Next();

    public Chaos Add(string name, Func<Task> act)
    {
        _acts.Add((name, act));
        return this;
    }

    /// <summary>A moment that is not to be foreseen, up to <paramref name="most"/>.</summary>
    public Task PauseAsync(TimeSpan most) => Task.Delay(most * _random.NextDouble());

    /// <summary>Each act <paramref name="times"/> times, in random order, at random moments.</summary>
    public async Task RunAsync(int times, TimeSpan longestPause)
    {
        (string Name, Func<Task> Act)[] plan = [.. Enumerable.Repeat(_acts, times).SelectMany(acts => acts)];
        _random.Shuffle(plan);
        foreach ((string name, Func<Task> act) in plan)
        {
            await PauseAsync(longestPause);
            try
            {
                await act();
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"chaos '{name}' (seed {Seed}) failed: {error.Message}", error);
            }
        }
    }

    /// <summary>Stops a node as its service manager does, which it must take in good order, and starts it again.</summary>
    public static async Task StopAndRestartAsync(NodeProcess node)
    {
        Assert.Equal(0, await node.Process.StopAsync());
        await node.StartAsync();
    }

    /// <summary>Kills a node without a word, and starts it again at once or a little later.</summary>
    public async Task KillAndRestartAsync(NodeProcess node)
    {
        node.Kill();
        await PauseAsync(TimeSpan.FromMilliseconds(500));
        await node.StartAsync();
    }
}
