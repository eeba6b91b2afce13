using System.Collections.Concurrent;
using EdgeStream.Cluster.Engines;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Log;

namespace EdgeStream.Cluster.Controller;

/// <summary>A topology as it goes to SPUs.</summary>
/// <param name="Map">What it is.</param>
/// <param name="Version">Grows with each change; of this SC's term only.</param>
/// <param name="Term">The SC's.</param>
public sealed record VersionedTopology(TopologyMap Map, long Version, long Term)
{
    private readonly Lazy<(V1.TopologyState Message, int Bytes)> _encoded = new(() =>
    {
        V1.TopologyState message = StoredMessages.ToMessage(Map, Version, Term);
        return (message, message.CalculateSize());
    });

    /// <summary>The same for all who are told, none of whom changes it.</summary>
    public V1.TopologyState Message => _encoded.Value.Message;

    /// <summary>What the message takes.</summary>
    public int Bytes => _encoded.Value.Bytes;
}

/// <summary>
/// The SPUs of a cluster, at its active SC: who has registered, who reports, and how far each has come with the topology. An SPU
/// that is silent for <see cref="SilenceTolerated"/>, or whose connection is lost for <see cref="AbsenceTolerated"/>, is taken for dead, and
/// others get its partitions. Safe from any thread.
/// </summary>
public sealed class SpuRegistry : ISpus
{
    /// <summary>Three reports. What is served must not move because one of them was late.</summary>
    public static readonly TimeSpan SilenceTolerated = TimeSpan.FromSeconds(3);

    /// <summary>
    /// A process that was killed resets its connection; one that has only lost it comes back to this SC within less. To be wrong costs a
    /// move of its partitions, and nothing else: the log takes one writer only.
    /// </summary>
    public static readonly TimeSpan AbsenceTolerated = TimeSpan.FromSeconds(1.5);

    /// <summary>How often an SPU reports.</summary>
    public static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long an SPU has to be there before it is given what others lead: one that comes and goes must not take partitions with it
    /// each time.
    /// </summary>
    public static readonly TimeSpan SettledAfter = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long an SPU may be without NATS, while others are not, before they get its partitions: it finds another server within less
    /// where there is one for it.
    /// </summary>
    public static readonly TimeSpan WithoutNatsTolerated = TimeSpan.FromSeconds(5);

    // A process that is refused comes again within less.
    private static readonly TimeSpan ContestedFor = TimeSpan.FromSeconds(10);

    // How long a change of the topology waits for those who serve it.
    private static readonly TimeSpan SettlePatience = TimeSpan.FromSeconds(5);

    // Where the NATS servers are slow, partitions are not to wait for it.
    private static readonly TimeSpan LeadersPatience = TimeSpan.FromSeconds(1);

    private const int AskedAtOnce = 64;

    private static readonly TimeSpan SettleCheck = TimeSpan.FromMilliseconds(250);

    private readonly IPartitionEngine _engine;
    private readonly IPositionStore _positions;
    private readonly TimeProvider _time;

    // Guards all below.
    private readonly Lock _lock = new();
    private long _term;
    private readonly Dictionary<int, RegisteredSpu> _spus = [];
    private readonly Dictionary<int, long> _expected = [];
    private HashSet<int> _alive = [];
    private VersionedTopology? _topology;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <param name="engine">Where the partitions lie; started, and the caller's.</param>
    /// <param name="positions">Where groups' positions lie; the caller's.</param>
    /// <param name="known">SPUs that the topology knows: they get a moment to come back to an SC that has just become active.</param>
    /// <param name="time">The clock.</param>
    /// <param name="term">The SC's.</param>
    public SpuRegistry(IPartitionEngine engine, IPositionStore positions, IEnumerable<SpuInfo> known, TimeProvider time, long term = 0)
    {
        (_engine, _positions, _time, _term) = (engine, positions, time, term);
        foreach (SpuInfo spu in known)
            _expected[spu.Id] = time.GetTimestamp();
    }

    /// <inheritdoc/>
    public int DefaultReplicas => _engine.DefaultReplicas;

    /// <summary>The newest; null before <see cref="StartAsync"/>.</summary>
    public VersionedTopology? Topology
    {
        get
        {
            lock (_lock)
                return _topology;
        }
    }

    /// <summary>
    /// SPUs that partitions may be given to, by id: those that report, are not about to stop and not cut off from NATS alone, and those that
    /// have a moment left to come back.
    /// </summary>
    public IReadOnlyList<AliveSpu> Alive
    {
        get
        {
            lock (_lock)
            {
                return
                [
                    .. _spus.Values.Where(spu => IsAlive(spu) && !spu.IsLeaving && !IsCutOff(spu))
                        .Select(spu => new AliveSpu(spu.Info.Id, spu.Info.Zone, spu.NatsServer))
                        .Concat(_expected.Where(one => IsExpected(one.Value)).Select(one => new AliveSpu(one.Key)))
                        .OrderBy(spu => spu.Id),
                ];
            }
        }
    }

    /// <summary>Whether nobody has come of late and nobody is expected, so partitions may move for even load.</summary>
    public bool IsSettled
    {
        get
        {
            lock (_lock)
            {
                return !_expected.Values.Any(IsExpected)
                    && _spus.Values.All(spu => !IsAlive(spu) || _time.GetElapsedTime(spu.Since) >= SettledAfter);
            }
        }
    }

    /// <summary>What SPUs that are there cannot open because of later epochs, by SPU; also partitions that the topology gives to others by now.</summary>
    public ILookup<int, OvertakenPartition> Overtaken
    {
        get
        {
            lock (_lock)
            {
                return _spus.Values.Where(IsAlive).SelectMany(spu => spu.Overtaken.Select(one => (spu.Info.Id, Overtaken: one)))
                    .ToLookup(one => one.Id, one => one.Overtaken);
            }
        }
    }

    /// <summary>How an SPU is.</summary>
    public SpuStatus StatusOf(int id)
    {
        lock (_lock)
        {
            return _spus.TryGetValue(id, out RegisteredSpu? spu)
                ? new SpuStatus(IsAlive(spu), spu.Version, spu.NatsServer ?? "")
                : new SpuStatus(Online: false);
        }
    }

    /// <summary>What is wrong with the SPUs that a topology knows, in a line each.</summary>
    public IReadOnlyList<string> ProblemsOf(TopologyMap topology)
    {
        lock (_lock)
            return [.. topology.Spus.Select(spu => FindProblem(spu.Id)).OfType<string>()];
    }

    /// <summary>Takes an SPU in. <see cref="Leave"/> it in the end.</summary>
    /// <exception cref="ClusterException"><see cref="ErrorCode.SpuExists"/>: another process with the id reports.</exception>
    public RegisteredSpu Register(SpuInfo info, string instance, string version)
    {
        lock (_lock)
        {
            long now = _time.GetTimestamp();
            RegisteredSpu? before = _spus.GetValueOrDefault(info.Id);
            if (before is { HasLeft: false } && before.Instance != instance && IsAlive(before))
            {
                before.Contested = (string.Join(", ", info.Endpoints), now);
                throw new ClusterException(
                    ErrorCode.SpuExists,
                    $"an SPU {info.Id} is there already, at {string.Join(", ", before.Info.Endpoints)}; stop that one, or give this one an identity of its own: 'edgestream spu certificate ID' makes it");
            }

            var spu = new RegisteredSpu(info, instance, version, now);
            if (before is not null && before.Instance == instance && IsAlive(before))
                (spu.Since, spu.Applied) = (before.Since, before.Applied);

            // Its connection to NATS is another one than that to this SC.
            if (before is not null && before.Instance == instance)
                (spu.NatsServer, spu.WithoutNatsSince) = (before.NatsServer, before.WithoutNatsSince);

            before?.Replace(now);
            _spus[info.Id] = spu;
            _expected.Remove(info.Id);

            // Also one that dies before anybody looks is named.
            _alive.Add(info.Id);
            Signal();
            return spu;
        }
    }

    /// <summary>
    /// Whether an SPU would not believe this SC: it knows a greater term; or the same, and this SC has told that process nothing yet, so another
    /// has used the term as well.
    /// </summary>
    public bool IsBehind(int id, string instance, long term)
    {
        lock (_lock)
            return term > _term || (term > 0 && term == _term && _spus.GetValueOrDefault(id)?.Instance != instance);
    }

    /// <summary>Tells the topology as that of a term which is greater.</summary>
    public void RaiseTerm(long term)
    {
        lock (_lock)
        {
            if (term <= _term)
                return;

            _term = term;
            if (_topology is { } told)
                _topology = new VersionedTopology(told.Map, told.Version + 1, term);

            Signal();
        }
    }

    /// <summary>Takes note of a report.</summary>
    /// <param name="spu">Whose.</param>
    /// <param name="applied">The version of the topology that it serves.</param>
    /// <param name="natsServer">The NATS server that it is connected to; empty where to none.</param>
    /// <param name="isLeaving">Whether it is about to stop, from which there is no way back.</param>
    /// <param name="problem">What is wrong with it, in one line; empty while nothing is.</param>
    /// <param name="overtaken">What it cannot open because of later epochs; null for nothing.</param>
    public void Report(
        RegisteredSpu spu, long applied, string natsServer, bool isLeaving = false, string problem = "", IReadOnlyList<OvertakenPartition>? overtaken = null)
    {
        lock (_lock)
        {
            long now = _time.GetTimestamp();
            bool wasAlive = IsAlive(spu);
            bool isBack = !wasAlive || (natsServer.Length > 0 && IsCutOff(spu));
            if (isBack)
                spu.Since = now;

            if (natsServer.Length > 0)
                spu.WithoutNatsSince = null;
            else if (spu.NatsServer is not null)
                spu.WithoutNatsSince = now;

            bool isNews = isBack || spu.Applied != applied || (isLeaving && !spu.IsLeaving);
            spu.IsLeaving |= isLeaving;
            (spu.LastReport, spu.Applied, spu.NatsServer, spu.Problem) = (now, applied, natsServer.Length > 0 ? natsServer : null, problem);
            spu.Overtaken = overtaken ?? [];
            if (isNews)
                Signal();
        }
    }

    /// <summary>The SPU's stream has ended. It still counts as there for a moment: it may have lost its connection only.</summary>
    public void Leave(RegisteredSpu spu, bool hasSaidSo)
    {
        lock (_lock)
        {
            spu.Leave(_time.GetTimestamp());

            // It has stopped: nothing is to be waited for, and nobody need be told again.
            if (hasSaidSo && _spus.GetValueOrDefault(spu.Info.Id) == spu)
            {
                _spus.Remove(spu.Info.Id);
                _alive.Remove(spu.Info.Id);
            }

            Signal();
        }
    }

    /// <summary>
    /// Completes when somebody has come or gone, or the topology is another, or somebody has come further with it; another task from then
    /// on. In a quiet cluster that takes days.
    /// </summary>
    public Task Changed
    {
        get
        {
            lock (_lock)
                return _changed.Task;
        }
    }

    /// <summary>Looks who has been silent for too long, which nobody says. Called now and then.</summary>
    /// <returns>Those who are dead since the call before.</returns>
    public IReadOnlyList<int> FindDead()
    {
        lock (_lock)
        {
            int[] dead = [.. _alive.Where(id => !_spus.TryGetValue(id, out RegisteredSpu? spu) || !IsAlive(spu))];
            _alive = [.. _spus.Values.Where(IsAlive).Select(spu => spu.Info.Id)];
            if (dead.Length > 0)
                Signal();

            return dead;
        }
    }

    /// <inheritdoc/>
    public ValueTask CheckReplicasAsync(int replicas) => _engine.CheckReplicasAsync(replicas);

    /// <inheritdoc/>
    public ValueTask<bool> HasReplicasAsync(PartitionId partition, int replicas, CancellationToken cancellationToken) =>
        _engine.HasReplicasAsync(partition, replicas, cancellationToken);

    /// <inheritdoc/>
    public void CheckSync(SyncPolicy sync) => _engine.CheckSync(sync);

    /// <inheritdoc/>
    public void CheckRoomFor(int partitions) => _engine.CheckRoomFor(partitions, 0);

    /// <inheritdoc/>
    public ValueTask<StoredLog?> FindStoredAsync(PartitionId partition) => _engine.FindStoredAsync(partition);

    /// <summary>
    /// The NATS servers that lead the streams of partitions, of those for which that can be told in a second: an SPU beside it writes
    /// without a hop.
    /// </summary>
    public async Task<IReadOnlyDictionary<PartitionId, string>> FindStreamLeadersAsync(IEnumerable<PartitionId> partitions, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(LeadersPatience);
        var leaders = new ConcurrentDictionary<PartitionId, string>();
        var options = new ParallelOptions { MaxDegreeOfParallelism = AskedAtOnce, CancellationToken = limit.Token };
        try
        {
            await Parallel.ForEachAsync(partitions, options, async (partition, token) =>
            {
                if (await _engine.FindStreamLeaderAsync(partition, token).ConfigureAwait(false) is { } server)
                    leaders[partition] = server;
            }).ConfigureAwait(false);
        }
        catch (Exception silent) when (silent is Storage.EdgeStreamException or OperationCanceledException)
        {
            // The rest goes where it is nearest to nobody.
        }

        return leaders;
    }

    /// <summary>None: they are all elsewhere.</summary>
    public Partition? Find(PartitionId partition) => null;

    /// <inheritdoc/>
    public IEnumerable<PartitionInfo> Place(TopologyMap map, string topic, IEnumerable<PartitionInfo> partitions) =>
        Placement.Place(map, Alive, partitions);

    /// <inheritdoc/>
    public async ValueTask CheckHoldsAsync(TopicInfo topic, TopicSettings settings)
    {
        foreach (PartitionInfo partition in settings.RetentionBytes is null ? [] : topic.Partitions)
        {
            var id = new PartitionId(topic.Name, partition.Number);
            if (await FindStoredAsync(id).ConfigureAwait(false) is { } stored)
                TopicLimits.CheckHolds(id, stored.Bytes, topic.Settings.RetentionBytes, settings);
        }
    }

    /// <inheritdoc/>
    public Task StartAsync(TopologyMap topology) => ApplyAsync(topology);

    /// <inheritdoc/>
    public Task ApplyAsync(TopologyMap topology)
    {
        lock (_lock)
        {
            _topology = new VersionedTopology(topology, (_topology?.Version ?? 0) + 1, _term);
            Signal();
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task SettleAsync()
    {
        long version = Topology?.Version ?? 0, started = _time.GetTimestamp();
        while (_time.GetElapsedTime(started) < SettlePatience)
        {
            Task changed;
            lock (_lock)
            {
                // Who is cut off from NATS can open nothing, and others get what it has.
                if (_spus.Values.All(spu => spu.Applied >= version || !IsAlive(spu) || IsCutOff(spu)))
                    return;

                changed = _changed.Task;
            }

            // Also when somebody is dead meanwhile, which nobody says.
            await Task.WhenAny(changed, Task.Delay(SettleCheck, _time)).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async Task DeleteStoredAsync(TopicInfo topic)
    {
        await _engine.DeleteStoredAsync(topic).ConfigureAwait(false);

        // Those who coordinate its groups do that as well, as far as they are there.
        foreach (GroupPositions positions in (await _positions.LoadGroupPositionsAsync().ConfigureAwait(false)).Where(one => one.Topic == topic.Name))
            await _positions.DeleteGroupPositionsAsync(positions.Group, topic.Name).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task ReplaceLogAsync(TopicInfo topic, PartitionInfo info, long firstOffset, long carryFrom) =>
        throw new ClusterException(ErrorCode.WrongRole, "only an edge puts another log in the place of its own");

    /// <summary>Null where all is well, and while it has a moment left to come back.</summary>
    private string? FindProblem(int id)
    {
        if (_expected.TryGetValue(id, out long since) && IsExpected(since))
            return null;

        if (!_spus.TryGetValue(id, out RegisteredSpu? spu) || !IsAlive(spu))
            return $"SPU {id} is not there; start it, or take it out with 'edgestream spu remove {id}' where it is not to come back";

        if (spu.Contested is (var other, var at) && _time.GetElapsedTime(at) < ContestedFor)
            return $"SPU {id} is there twice: a process at {other} has its identity and is refused; stop that one, or give it an identity of its own";

        if (IsCutOff(spu))
            return $"SPU {id} has no connection to NATS";

        return spu.Problem.Length > 0 ? $"SPU {id}: {spu.Problem}" : null;
    }

    private bool IsExpected(long since) => _time.GetElapsedTime(since) < SettledAfter;

    private bool IsAlive(RegisteredSpu spu) =>
        _time.GetElapsedTime(spu.LastReport) < SilenceTolerated && (spu.LeftAt is not { } left || _time.GetElapsedTime(left) < AbsenceTolerated);

    /// <summary>Whether it is without NATS for too long and others are not: where nobody has it, nothing is gained by a move.</summary>
    private bool IsCutOff(RegisteredSpu spu) =>
        spu.WithoutNatsSince is { } since && _time.GetElapsedTime(since) >= WithoutNatsTolerated
        && _spus.Values.Any(other => other.NatsServer is not null && !other.IsLeaving && IsAlive(other));

    private void Signal()
    {
        _changed.TrySetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
