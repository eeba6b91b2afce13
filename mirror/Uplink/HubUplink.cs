using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Keeps the link of an edge to its hub: connects, mirrors what is there, and connects again with jittered backoff when the
/// link is lost. Being offline is no failure; it ends only when it is told to. <paramref name="marks"/> has been told before that
/// the hub counts.
/// </summary>
public sealed class HubUplink(
    EdgeIdentity identity,
    StreamController controller,
    MirrorMarks marks,
    UplinkOptions options,
    string version,
    IReadOnlyList<IUplinkLane> lanes,
    LinkLimits limits,
    TimeProvider time,
    ILogger<HubUplink> logger)
{
    // While the cluster says who serves this edge, and that one does not: so often it is asked again soon, and then less and less.
    private const int MaxQuickRetries = 20;

    private readonly Lock _lock = new();
    private readonly WireMeter _meter = new(limits.Meter);
    private readonly StartToken _startToken = new(identity.Directory);
    private readonly HubEndpoints _endpoints = new(identity);
    private UplinkState _state;
    private FlowWindow? _window;
    private string? _refusal;
    private readonly SortedDictionary<string, string> _standing = new(StringComparer.Ordinal);
    private bool _welcomed;
    private bool _hasConnected;

    public EdgeIdentity Identity => identity;

    /// <summary>How far the hub has the logs.</summary>
    public HubMarks Marks { get; } = new(marks, identity.Id);

    public UplinkState State
    {
        get
        {
            lock (_lock)
            {
                return _state with
                {
                    WireSentBytes = _meter.Sent,
                    WireReceivedBytes = _meter.Received,
                    LinkBytesPerSecond = _window?.Rate ?? 0,
                    RoundTrip = _window?.RoundTrip,
                    Waiting = _state.Connected ? limits.Waiting : null,
                };
            }
        }
    }

    /// <summary>Why nothing is mirrored, or not all of it, where waiting does not help; in a line each. Being offline is no such reason.</summary>
    public IReadOnlyList<string> Problems
    {
        get
        {
            lock (_lock)
            {
                string[] refusal = _refusal is null ? [] : [$"nothing is mirrored to {identity.Hub}: {_refusal}"];
                return [.. refusal, .. _standing.Select(topic => $"topic '{topic.Key}' is not mirrored to {identity.Hub}: {topic.Value}")];
            }
        }
    }

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        int failures = 0, moves = 0;
        bool expired = false;
        var locator = new HubLocator(identity, _endpoints, options, _meter, time);
        var issuers = new CertificateIssuers(locator, identity, time);
        while (true)
        {
            HubConnection? hub = null;
            bool moving = false;
            try
            {
                if (expired)
                    await RenewExpiredAsync(locator, cancellationToken).ConfigureAwait(false);

                expired = false;
                hub = await locator.ConnectAsync(cancellationToken).ConfigureAwait(false);
                GrpcChannel channel = hub.Channel;
                if (identity.MustReplaceLogs)
                {
                    await new CardReplacement(channel, controller, logger).RunAsync(cancellationToken).ConfigureAwait(false);
                    identity.LogsAreReplaced();
                }

                var session = new UplinkSession(
                    channel, controller, Marks, options, version, _startToken, new DeadLetters(controller, time, logger), limits, time, logger,
                    new Observer(this));
                using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                Task mirroring = session.RunAsync(cancellationToken);
                var connection = new UplinkConnection(
                    channel, identity, Marks, new LinkShare(limits, session.Window, time), (longest, stop) => issuers.AskAsync(hub.Address, longest, stop));
                Task besides = RunLanesAsync(connection, hub.Address, session.Welcomed, ended.Token);
                await mirroring.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                await ended.CancelAsync().ConfigureAwait(false);
                await besides.ConfigureAwait(false);
                await mirroring.ConfigureAwait(false);
                Disconnected("the hub has ended the stream", needsSomebody: false);
            }
            catch (Exception) when (cancellationToken.IsCancellationRequested)
            {
                lock (_lock)
                    _state = _state with { Connected = false };

                return;
            }
            catch (Exception error)
            {
                if (error is not (RpcException or EdgeStreamException or TimeoutException or IOException or HttpRequestException))
                    logger.LogError(error, "the uplink failed unexpectedly; it goes on");

                ErrorCode? code = UplinkErrors.CodeOf(error);
                expired |= code == ErrorCode.CertificateExpired;
                if (hub is not null && code is null or ErrorCode.Unavailable)
                    _endpoints.Failed(hub.Address);

                // Its SPU is dead or has been relieved: the next one is known in a moment.
                moving = code == ErrorCode.NotLeader || (hub is { WasSent: true } && code is null or ErrorCode.Unavailable);
                string at = hub is { WasSent: true } ? $"{hub.Address.Authority}, which serves this edge: " : "";
                Disconnected(at + UplinkErrors.Describe(error), UplinkErrors.NeedsSomebody(error));
            }
            finally
            {
                hub?.Dispose();
            }

            lock (_lock)
            {
                failures = _welcomed ? 0 : failures + 1;
                _welcomed = false;
            }

            moves = moving ? moves + 1 : 0;
            TimeSpan pause = Backoff(moves is > 0 and <= MaxQuickRetries ? Math.Min(failures, 1) : failures);
            try
            {
                await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Over a connection of its own: the one that was refused has presented the certificate that has expired.</summary>
    private async Task RenewExpiredAsync(HubLocator locator, CancellationToken cancellationToken)
    {
        await locator.AskAnyAsync(
            channel => CertificateRenewal.AskAsync(channel, identity, time, cancellationToken), except: null, cancellationToken).ConfigureAwait(false);
        logger.LogInformation("the certificate for the hub {Hub} had expired and was renewed", identity.Hub);
    }

    private async Task RunLanesAsync(UplinkConnection connection, Uri address, Task welcomed, CancellationToken cancellationToken)
    {
        await Task.WhenAny(welcomed, Task.Delay(Timeout.Infinite, cancellationToken)).ConfigureAwait(false);
        if (!welcomed.IsCompletedSuccessfully)
            return;

        _endpoints.Worked(address);
        await Task.WhenAll(lanes.Select(lane => RunLaneAsync(lane, connection, cancellationToken))).ConfigureAwait(false);
    }

    private async Task RunLaneAsync(IUplinkLane lane, UplinkConnection connection, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await lane.RunAsync(connection, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (RpcException unknown) when (unknown.StatusCode == StatusCode.Unimplemented)
            {
                logger.LogInformation("the hub {Hub} does not know the {Lane} lane", identity.Hub, lane.Name);
                return;
            }
            catch (Exception problem) when (!cancellationToken.IsCancellationRequested)
            {
                logger.LogWarning("{Lane}: {Problem}; tried again", lane.Name, UplinkErrors.Describe(problem));
            }
            catch
            {
                return;
            }

            await Task.Delay(options.RefusedRetry, time, cancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Between half and the whole of what doubles with each failure, so that many edges do not come back at once.</summary>
    private TimeSpan Backoff(int failures)
    {
        double full = Math.Min(options.MaxBackoff.TotalSeconds, options.MinBackoff.TotalSeconds * Math.Pow(2, Math.Min(failures, 20)));
        return TimeSpan.FromSeconds(full * (0.5 + (Random.Shared.NextDouble() / 2)));
    }

    private void Disconnected(string problem, bool needsSomebody)
    {
        bool report;
        lock (_lock)
        {
            // A hub that stays away is told once, not at each attempt.
            report = _state.Connected || _state.LastError != problem;
            _state = _state with { Connected = false, LastError = problem };

            // A link that is away since says nothing about what the hub had said.
            if (needsSomebody)
                _refusal = problem;
        }

        if (report)
            logger.LogWarning("no link to the hub {Hub}: {Problem}; records are kept here and sent later", identity.Hub, problem);
    }

    private sealed class Observer(HubUplink uplink) : IUplinkObserver
    {
        public void Welcomed(FlowWindow window)
        {
            lock (uplink._lock)
            {
                uplink._window = window;
                uplink._welcomed = true;
                uplink._refusal = null;
                uplink._standing.Clear();
                uplink._state = uplink._state with
                {
                    Connected = true,
                    Reconnects = uplink._state.Reconnects + (uplink._hasConnected ? 1 : 0),
                };
                uplink._hasConnected = true;
            }
        }

        public void Sending(int batchBytes, int pieceBytes)
        {
            lock (uplink._lock)
            {
                uplink._state = uplink._state with
                {
                    SentBytes = uplink._state.SentBytes + batchBytes,
                    SentPieceBytes = uplink._state.SentPieceBytes + pieceBytes,
                };
            }
        }

        public void Refused(string topic, string problem, bool needsSomebody)
        {
            lock (uplink._lock)
            {
                uplink._state = uplink._state with { LastError = $"{topic}: {problem}" };
                if (needsSomebody)
                    uplink._standing[topic] = problem;
            }
        }

        public void Settled(string topic)
        {
            lock (uplink._lock)
                uplink._standing.Remove(topic);
        }
    }
}
