using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using Microsoft.Extensions.Logging;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Hosting;

/// <summary>The edge's uplink, which comes with joining a hub and goes with leaving it. Safe from any thread.</summary>
internal sealed class UplinkHost(
    DataDirectory data,
    StreamController controller,
    UplinkOptions options,
    IReadOnlyList<IUplinkLane> lanes,
    TimeProvider time,
    ILoggerFactory loggers) : IAsyncDisposable
{
    private readonly SemaphoreSlim _changing = new(1);
    private readonly ILogger<HubUplink> _logger = loggers.CreateLogger<HubUplink>();
    private readonly LinkLimits _limits = new(options, data.Path, time);
    private CancellationTokenSource? _stop;
    private Task _running = Task.CompletedTask;
    private bool _stopped;

    /// <summary>The uplink, or null where this edge has joined no hub.</summary>
    public HubUplink? Current { get; private set; }

    /// <summary>Why there is no uplink although there should be, in one line.</summary>
    public string? Problem { get; private set; }

    /// <summary>Connects where this edge has joined a hub before. An identity that cannot be read does not keep the node from starting.</summary>
    public async Task StartAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            if (EdgeIdentity.Load(data.Path) is { } identity)
                Run(identity);
        }
        catch (EdgeStreamException problem)
        {
            Problem = problem.Message;
            _logger.LogError("no uplink: {Problem}", problem.Message);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <exception cref="EdgeStreamException">It has joined one already, or the hub refuses.</exception>
    public async Task<HubUplink> JoinAsync(string hub, string token, CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stopped)
                throw new ClusterException(ErrorCode.Unavailable, "the node is stopping; try again");

            if (Current is { } joined)
            {
                throw new ClusterException(
                    ErrorCode.GeoLocationExists,
                    $"this edge is geo-location '{joined.Identity.GeoLocation}' of {joined.Identity.Hub} already; 'edgestream leave' ends that");
            }

            Run(await HubEnroller.JoinAsync(data.Path, hub, token, cancellationToken).ConfigureAwait(false));
            Problem = null;
            return Current!;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Ends the uplink and forgets the certificate. Records stay.</summary>
    public async Task<string> LeaveAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            HubUplink uplink = Current ?? throw new ClusterException(ErrorCode.WrongRole, "this edge has joined no hub");
            await StopAsync().ConfigureAwait(false);
            EdgeIdentity.Forget(data.Path);
            return uplink.Identity.Hub;
        }
        finally
        {
            _changing.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            _stopped = true;
            await StopAsync().ConfigureAwait(false);
            _limits.Save();
        }
        finally
        {
            _changing.Release();
        }
    }

    private void Run(EdgeIdentity identity)
    {
        _stop = new CancellationTokenSource();
        Current = new HubUplink(identity, controller, options, BuildInfo.Version, lanes, _limits, time, _logger);
        _running = Current.RunAsync(_stop.Token);
    }

    private async Task StopAsync()
    {
        if (_stop is null)
            return;

        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Current?.Identity.Dispose();
        Current = null;
        _stop.Dispose();
        _stop = null;
    }
}
