using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Mirror;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging;
using ErrorCode = EdgeStream.Protocol.V1.ErrorCode;

namespace EdgeStream.Agent.Hosting;

/// <summary>The edge's uplinks, one for each hub: they come with joining it and go with leaving it. Safe from any thread.</summary>
internal sealed class UplinkHost(
    DataDirectory data,
    StreamController controller,
    UplinkOptions options,
    IReadOnlyList<IUplinkLane> lanes,
    TimeProvider time,
    ILoggerFactory loggers) : IAsyncDisposable
{
    private static readonly TimeSpan LastMoment = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LastMomentPoll = TimeSpan.FromMilliseconds(20);

    private readonly SemaphoreSlim _changing = new(1);
    private readonly MirrorMarks _marks = new(options.Mirrored);
    private readonly ILogger<HubUplink> _logger = loggers.CreateLogger<HubUplink>();
    private readonly LinkLimits _limits = new(options, data.Path, time);

    // Replaced as a whole, under the semaphore.
    private volatile IReadOnlyList<JoinedHub> _hubs = [];
    private volatile string? _problem;
    private bool _stopped;

    /// <summary>The uplinks that there are; none where this edge has joined no hub.</summary>
    public IEnumerable<HubUplink> Uplinks => _hubs.Select(hub => hub.Uplink).OfType<HubUplink>();

    /// <summary>Why there are fewer uplinks than hubs, and why hubs do not take what they are sent, in a line each.</summary>
    public IEnumerable<string> Problems =>
        [.. _hubs.Select(hub => hub.Problem).Append(_problem).OfType<string>(), .. Uplinks.SelectMany(uplink => uplink.Problems)];

    /// <summary>
    /// Connects to the hubs joined before. An identity that cannot be read keeps neither the others nor the node from starting.
    /// </summary>
    public async Task StartAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            IReadOnlyList<string> ids = EdgeIdentity.List(data.Path);

            // All of them before the first one says what it has: what one lacks is not mirrored, though nobody can ask it.
            foreach (string id in ids)
                _marks.Join(id);

            _hubs = [.. ids.Select(Open)];
        }
        catch (EdgeStreamException problem)
        {
            _problem = problem.Message;
            _logger.LogError("no uplink: {Problem}", problem.Message);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Joins one more hub.</summary>
    /// <param name="hub">Its address.</param>
    /// <param name="token">What its operator gave.</param>
    /// <param name="replacesCard">This card takes the place of another one, even where it has joined that hub before.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="EdgeStreamException">It has joined that one already, or the hub refuses.</exception>
    public async Task<HubUplink> JoinAsync(string hub, string token, bool replacesCard, CancellationToken cancellationToken)
    {
        await _changing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stopped)
                throw new ClusterException(ErrorCode.Unavailable, "the node is stopping; try again");

            string id = EdgeIdentity.IdOf(InviteToken.Parse(token).AuthorityFingerprint);
            JoinedHub? before = replacesCard ? _hubs.FirstOrDefault(known => known.Id == id) : null;
            if (before is null)
                CheckNotJoined(id, HubAddress.ParseAll(hub));

            EdgeIdentity identity = await HubEnroller
                .JoinAsync(data.Path, hub, token, new JoiningCard(Incarnations(), replacesCard), cancellationToken)
                .ConfigureAwait(false);
            if (before is not null)
                await before.DisposeAsync().ConfigureAwait(false);

            _marks.Join(id);
            HubUplink uplink = UplinkOf(identity);

            // One of which the identity could not be read is well again.
            _hubs = [.. _hubs.Where(known => known.Id != id), JoinedHub.Run(uplink)];
            return uplink;
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>Ends the uplink to a hub and forgets the certificate. Records stay.</summary>
    /// <param name="hub">Its address; empty for the only one.</param>
    /// <returns>The hub that was left, and those that remain.</returns>
    public async Task<(string Left, IReadOnlyList<string> Remaining)> LeaveAsync(string hub)
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            JoinedHub leaving = Choose(hub);
            await leaving.DisposeAsync().ConfigureAwait(false);
            _hubs = [.. _hubs.Where(known => known != leaving)];
            EdgeIdentity.Forget(data.Path, leaving.Id);
            _marks.Leave(leaving.Id);
            return (leaving.Name, [.. _hubs.Select(known => known.Name)]);
        }
        finally
        {
            _changing.Release();
        }
    }

    /// <summary>The identity at a hub, whose certificate signs what is carried there.</summary>
    /// <param name="hub">Its address; empty for the only one.</param>
    /// <exception cref="ClusterException">There is none, or it must be said which.</exception>
    public EdgeIdentity IdentityAt(string hub)
    {
        if (_hubs.Count == 0 && _problem is null)
        {
            throw new ClusterException(
                ErrorCode.WrongRole,
                "this edge has joined no hub, and a bundle is signed with the certificate that a hub issues; 'edgestream join' first");
        }

        JoinedHub chosen = Choose(hub);
        return chosen.Uplink?.Identity ?? throw new ClusterException(ErrorCode.WrongRole, chosen.Problem!);
    }

    /// <summary>
    /// Lets the hubs that are connected have what was stored last, so that a gateway that is switched off leaves nothing behind that its
    /// link can carry in a moment. Returns when they have all, or after <see cref="LastMoment"/>: the rest goes up at the next start.
    /// </summary>
    public async Task FinishAsync()
    {
        long began = time.GetTimestamp();
        while (Uplinks.Any(IsBehind) && time.GetElapsedTime(began) < LastMoment)
            await Task.Delay(LastMomentPoll, time).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        await _changing.WaitAsync().ConfigureAwait(false);
        try
        {
            _stopped = true;
            IReadOnlyList<JoinedHub> hubs = _hubs;
            _hubs = [];
            await Task.WhenAll(hubs.Select(hub => hub.DisposeAsync().AsTask())).ConfigureAwait(false);
            _limits.Save();
        }
        finally
        {
            _changing.Release();
        }
    }

    private JoinedHub Open(string id)
    {
        try
        {
            return JoinedHub.Run(UplinkOf(EdgeIdentity.Load(data.Path, id)!));
        }
        catch (EdgeStreamException problem)
        {
            _logger.LogError("no uplink: {Problem}", problem.Message);
            return JoinedHub.Broken(id, problem.Message);
        }
    }

    private string[] Incarnations() => [.. MirroredLogs().Select(log => log.Manifest.Incarnation.ToString("N"))];

    private IEnumerable<PartitionLog> MirroredLogs() => controller.Current.Topics.Values
        .Where(topic => topic.Settings.Mirror)
        .Select(topic => controller.GetPartition(topic.Name, 0))
        .Where(partition => partition.IsOpen)
        .Select(partition => partition.Segments);

    /// <summary>Whether waiting brings the hub what it does not have: not where there is no link, or one that may carry nothing now.</summary>
    private bool IsBehind(HubUplink uplink)
    {
        try
        {
            return uplink.State is { Connected: true, Waiting: null } && MirroredLogs().Any(log => uplink.Marks.Of(log) < log.Offsets.Durable);
        }
        catch (ClusterException)
        {
            // A topic was deleted this moment: asked again.
            return true;
        }
    }

    private HubUplink UplinkOf(EdgeIdentity identity) =>
        new(identity, controller, _marks, options, BuildInfo.Version, lanes, _limits, time, _logger);

    private void CheckNotJoined(string id, IEnumerable<Uri> addresses)
    {
        if (Uplinks.FirstOrDefault(uplink => uplink.Identity.Id == id) is { Identity: { } same })
        {
            throw new ClusterException(
                ErrorCode.GeoLocationExists,
                $"this edge is geo-location '{same.GeoLocation}' of {same.Hub} already; 'edgestream leave {same.Hub}' ends that");
        }

        // Nobody could tell the two apart, and one of them is gone for good.
        if (addresses.FirstOrDefault(one => Uplinks.Any(uplink => uplink.Identity.IsAt(one.Authority)))?.Authority is { } address)
        {
            throw new ClusterException(
                ErrorCode.GeoLocationExists,
                $"this edge has joined another hub under the address {address}; 'edgestream leave {address}' ends that");
        }
    }

    private JoinedHub Choose(string hub)
    {
        IReadOnlyList<JoinedHub> hubs = _hubs;
        if (hubs.Count == 0)
        {
            throw new ClusterException(
                ErrorCode.WrongRole, _problem ?? "this edge has joined no hub; 'edgestream join HUB --token TOKEN' joins one");
        }

        string names = string.Join(", ", hubs.Select(known => known.Name));
        if (hub.Length > 0)
        {
            IReadOnlyList<Uri> addresses = HubAddress.ParseAll(hub);
            return hubs.FirstOrDefault(known => known.Id == hub || addresses.Any(address => known.Uplink?.Identity.IsAt(address.Authority) == true))
                ?? throw new ClusterException(ErrorCode.InvalidArgument, $"this edge has not joined {hub}; it has joined {names}");
        }

        return hubs.Count == 1
            ? hubs[0]
            : throw new ClusterException(ErrorCode.InvalidArgument, $"this edge has joined several hubs: {names}; say which one");
    }
}
