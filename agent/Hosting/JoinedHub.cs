using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Agent.Hosting;

/// <summary>A hub that this edge has joined: its uplink, which runs until this is disposed, or why there is none.</summary>
internal sealed class JoinedHub : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;

    private JoinedHub(string id, HubUplink? uplink, string? problem)
    {
        Id = id;
        Uplink = uplink;
        Problem = problem;
        _running = uplink?.RunAsync(_stop.Token) ?? Task.CompletedTask;
    }

    /// <summary>Tells it from the others, whatever its address is.</summary>
    public string Id { get; }

    public HubUplink? Uplink { get; }

    /// <summary>Why there is no uplink although there should be, in one line.</summary>
    public string? Problem { get; }

    /// <summary>What people call it: its address, where that can be read.</summary>
    public string Name => Uplink?.Identity.Hub ?? Id;

    /// <summary>Starts the uplink; its identity is disposed with this.</summary>
    public static JoinedHub Run(HubUplink uplink) => new(uplink.Identity.Id, uplink, null);

    /// <summary>One whose identity cannot be read.</summary>
    public static JoinedHub Broken(string id, string problem) => new(id, null, problem);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Uplink?.Identity.Dispose();
        _stop.Dispose();
    }
}
