using System.Diagnostics;
using EdgeStream.Cluster.Nats;
using EdgeStream.Storage;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>Who is the active SC, as the lease says.</summary>
/// <param name="Name">The SC's name.</param>
/// <param name="Endpoints">Where it is reached.</param>
public sealed record ActiveSc(string Name, IReadOnlyList<string> Endpoints);

/// <summary>
/// The lease by which one SC of a cluster is the active one: a key in a bucket of its own, <c>edgestream-NAME-sc</c>, written anew each
/// second by whoever has it. Has a connection of its own, so that it waits behind nothing. Safe from any thread.
/// </summary>
/// <remarks>
/// No clock is compared with another, and none of the servers' counts. Who holds it counts from before it sent the last renewal that was
/// stored, and stops a margin before <see cref="Duration"/> is over. Who wants it counts from when it has seen that renewal, which is
/// later, and takes it once the whole of <see cref="Duration"/> has passed without another, by a write that expects that renewal to be the
/// last. So two hold it at once only where their clocks' rates differ by more than the margin (Gray and Cheriton, "Leases", 1989). While the
/// servers have no room for a renewal they have none for another's either, and the holder goes on; another may then be a
/// <see cref="RenewInterval"/> ahead of it when there is room again. Where two hold it after all, as in a machine that was suspended:
/// <see cref="JetStreamTopologyStore"/> takes writes of one only.
/// </remarks>
public sealed class ScLease : IAsyncDisposable
{
    /// <summary>How long others wait after a renewal.</summary>
    public static readonly TimeSpan Duration = TimeSpan.FromSeconds(4);

    /// <summary>How much earlier the holder stops.</summary>
    public static readonly TimeSpan Margin = TimeSpan.FromSeconds(1);

    public static readonly TimeSpan RenewInterval = TimeSpan.FromSeconds(1);

    private const string Key = "active";

    // How often who waits looks.
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(250);

    // A renewal that has no answer by then is worth sending again within the lease.
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(1);

    private readonly int _replicas;
    private readonly ActiveSc _self;
    private readonly ILogger _logger;
    private readonly JetStreamServers _servers;
    private readonly KeyValueBucket _bucket;
    private readonly string _id = Guid.NewGuid().ToString("N");
    private long _renewals;
    private volatile string? _problem;
    private ActiveSc? _active;

    /// <param name="options">Where the servers are, and how many of them are to keep it.</param>
    /// <param name="cluster">The cluster's name.</param>
    /// <param name="self">Who wants it.</param>
    /// <param name="logger">Told who has it, and what becomes of the connection.</param>
    public ScLease(JetStreamOptions options, string cluster, ActiveSc self, ILogger logger)
    {
        _replicas = options.Replicas;
        _self = self;
        _logger = logger;
        _servers = new JetStreamServers(options with { AnswerTimeout = AnswerTimeout }, logger);
        _bucket = new KeyValueBucket(_servers, $"edgestream-{cluster}-sc", $"EdgeStream {cluster} lease");
    }

    /// <summary>Who had it when it was looked at last; null where nobody had, or that is not known yet.</summary>
    public ActiveSc? Active => Volatile.Read(ref _active);

    /// <summary>Why who waits cannot tell, or who has it cannot renew it, in one line; null where it can.</summary>
    public string? Problem => _problem;

    /// <summary>
    /// Waits until this SC is the active one, however long servers do not answer meanwhile. For one caller at a time, and not before the
    /// term that it was given last has been disposed of.
    /// </summary>
    /// <exception cref="OperationCanceledException"/>
    public async Task<ScTerm> WaitAsync(CancellationToken cancellationToken)
    {
        long known = -1, knownSince = 0;
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            string? problem = null;
            try
            {
                await EnsureAsync().ConfigureAwait(false);
                Seen seen = await ReadAsync().ConfigureAwait(false);
                if (seen.Revision != known)
                    (known, knownSince) = (seen.Revision, Stopwatch.GetTimestamp());

                bool isFree = seen.Lease is not { } lease || lease.Id == _id || Stopwatch.GetElapsedTime(knownSince) >= lease.Duration.ToTimeSpan();
                if (isFree && await TryTakeAsync(seen).ConfigureAwait(false) is { } term)
                {
                    _problem = null;
                    return term;
                }
            }
            catch (ClusterException full) when (full.Code == ErrorCode.StorageFull)
            {
                problem = $"this SC cannot become the active one: {full.Message}; while none is active, no topic can be deleted to make room";
            }
            catch (ClusterException unavailable)
            {
                problem = $"which SC is the active one cannot be told now: {unavailable.Message}";
            }

            if (problem is not null && problem != _problem)
                _logger.LogWarning("{Problem}", problem);

            _problem = problem;
            await Task.Delay(LookInterval, cancellationToken).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _servers.DisposeAsync().ConfigureAwait(false);
        _bucket.Dispose();
    }

    /// <summary>Writes the lease anew; its revision, or null where another has it since.</summary>
    /// <exception cref="ClusterException">Nobody answers: it may be written or not.</exception>
    internal async Task<long?> RenewAsync(long revision)
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        try
        {
            long? renewed = await WriteAsync(revision, revision).ConfigureAwait(false);
            if (renewed is null)
            {
                // A renewal before, whose answer was lost, may have come in between.
                Seen seen = await ReadAsync().ConfigureAwait(false);
                if (seen.Lease?.Id == _id)
                    renewed = await WriteAsync(revision = seen.Revision, seen.Last).ConfigureAwait(false);
            }

            _problem = null;
            return renewed;
        }
        catch (ClusterException full) when (full.Code == ErrorCode.StorageFull)
        {
            // Nobody has taken it, as was just read, and without room nobody can: were this one to stop, there would be no active SC at all.
            if (_problem != full.Message)
                _logger.LogWarning("the lease is not renewed, and stays with this SC as long as nobody can take it: {Problem}", full.Message);

            _problem = full.Message;
            return revision;
        }
    }

    internal async Task ReleaseAsync(long revision)
    {
        try
        {
            await _servers.EnsureReadyAsync().ConfigureAwait(false);
            await _bucket.TryWriteAsync(Key, [], revision, revision).ConfigureAwait(false);
        }
        catch (ClusterException silent)
        {
            _logger.LogWarning("the lease could not be given back, so the next SC waits until it is over: {Problem}", silent.Message);
        }
    }

    private async ValueTask EnsureAsync()
    {
        await _servers.EnsureReadyAsync().ConfigureAwait(false);
        await _bucket.EnsureAsync(_replicas).ConfigureAwait(false);
    }

    private async Task<Seen> ReadAsync()
    {
        long last = await _bucket.FindLastRevisionAsync().ConfigureAwait(false);
        (ReadOnlyMemory<byte> value, long revision) = await _bucket.ReadAsync(Key).ConfigureAwait(false);
        V1.StoredLease? lease = value.IsEmpty ? null : V1.StoredLease.Parser.ParseFrom(value.Span);
        Volatile.Write(ref _active, lease is null ? null : new ActiveSc(lease.Name, [.. lease.Endpoints]));
        return new Seen(lease, revision, last);
    }

    private async Task<ScTerm?> TryTakeAsync(Seen seen)
    {
        long began = Stopwatch.GetTimestamp();
        if (await WriteAsync(seen.Revision, seen.Last).ConfigureAwait(false) is not { } taken)
            return null;

        Volatile.Write(ref _active, _self);
        return new ScTerm(this, taken, began, _logger);
    }

    private Task<long?> WriteAsync(long expected, long expectedLast) => _bucket.TryWriteAsync(
        Key,
        new V1.StoredLease
        {
            Name = _self.Name,
            Endpoints = { _self.Endpoints },
            Id = _id,
            Renewal = Interlocked.Increment(ref _renewals),
            Duration = Duration.ToDuration(),
        }.ToByteArray(),
        expected,
        expectedLast);

    /// <param name="Lease">Null where nobody has it.</param>
    /// <param name="Revision">The key's.</param>
    /// <param name="Last">The bucket's.</param>
    private readonly record struct Seen(V1.StoredLease? Lease, long Revision, long Last);
}
