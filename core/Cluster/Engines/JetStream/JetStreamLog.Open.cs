using System.Buffers.Binary;
using System.Globalization;
using System.Text.Json;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Nats;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Time;
using Microsoft.Extensions.Logging;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>Opening: whose the stream is, where it ends, and taking the place of its writer.</content>
internal sealed partial class JetStreamLog
{
    // Somebody else may write in between, an earlier writer that was on its way. Two that both go on are stopped by this.
    private const int MaxAttempts = 20;

    private JetStreamLog(
        PartitionId id, StreamNames names, JetStreamServers servers, JetStreamOptions options, PartitionManifest manifest, LogSettings settings,
        Found found, Guid writerId, State state, IClockSource? clock, TimeProvider time, ILogger logger)
    {
        _id = id;
        _names = names;
        _servers = servers;
        _options = options;
        _logger = logger;
        _time = time;
        _toldAt = time.GetTimestamp();
        NoteServersTime(found.Stream);
        _settings = SettingsIn(found.Stream.Config, settings);
        _replicas = found.Stream.Config.NumReplicas;
        _writerId = writerId;
        Manifest = manifest;
        (_settingsEntry, _gapsEntry, _clockEntry, _mirroredEntry) = (state.Settings, state.Gaps, state.Clock, state.Mirrored);
        _gaps = state.KnownGaps;
        _savedGaps = _gaps.Count;
        _lastGapSequence = state.LastGapSequence;
        _start = found.Start;
        _firstSequence = found.FirstSequence;
        _storedBytes = found.Stream.State.Bytes;
        _lastSequence = found.LastSequence;
        _durable = new OffsetWatermark(found.NextOffset);
        _mirrored = new OffsetWatermark(Math.Clamp(state.MirroredOffset, found.Start, found.NextOffset));
        _savedMirrored = _mirrored.Value;
        _acknowledgements = new Acknowledgements(_pendingBytes, _mirrored, () => Volatile.Read(ref _gaps));
        (_placedEnd, _placedLatest, _placedSequence, _durableLatest) = (found.NextOffset, found.Latest, found.Placed, found.Latest);
        _anchors = new AnchorMemory(state.Clock.Value);
        Clock = LogClock.Open(_anchors, clock, found.NextOffset);
    }

    /// <summary>Where a stream begins and ends, at the instant that the place was taken.</summary>
    private sealed record Found(StreamInfo Stream, long FirstSequence, long Start, long LastSequence, long Placed, long NextOffset, long Latest);

    /// <summary>What lies beside the records, as it was found.</summary>
    private sealed record State(StateEntry Settings, StateEntry Gaps, StateEntry Clock, StateEntry Mirrored)
    {
        public KnownGaps KnownGaps { get; set; } = new([], 0);

        public long LastGapSequence { get; set; }

        public long MirroredOffset { get; set; }
    }

    /// <summary>Opens a partition's stream, or makes it, and takes the place of its writer.</summary>
    /// <remarks>
    /// Hundreds are opened at once when an SPU takes over from another, so what does not follow from each other is asked at once: the
    /// stream; what lies at its ends and beside it; then the leader's entry, where it is another, and the epoch.
    /// </remarks>
    /// <exception cref="ClusterException">
    /// The servers do not answer, refuse it, or have another's stream of that name.
    /// </exception>
    /// <exception cref="LaterEpochException">Somebody was told later to lead it, and nothing was touched.</exception>
    public static async Task<JetStreamLog> OpenAsync(
        string clusterId, PartitionId id, TopicInfo topic, PartitionInfo info, LogSettings settings, IClockSource? clock,
        JetStreamServers servers, StateBucket bucket, JetStreamOptions options, TimeProvider time, ILogger logger)
    {
        var names = StreamNames.Of(clusterId, id);
        try
        {
            var mark = new StreamMark(bucket, id);
            (StreamInfo stream, PartitionManifest manifest) = await EnsureStreamAsync(names, mark, topic, info, settings, servers).ConfigureAwait(false);
            await SetMarkAsync(mark, stream, manifest.Incarnation).ConfigureAwait(false);
            var leader = new LeaderEntry(bucket, manifest.Incarnation, id, info);
            Task<State> loading = LoadStateAsync(bucket, manifest.Incarnation);
            var writerId = Guid.NewGuid();
            Found? found = null;
            try
            {
                StreamConfig wanted = ConfigOf(names, manifest, settings, topic.Settings.Replicas);
                found = await TakePlaceAsync(stream, wanted, names, servers, leader, writerId, manifest.FirstOffset).ConfigureAwait(false);
            }
            finally
            {
                if (found is null)
                    await ((Task)loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            State state = await loading.ConfigureAwait(false);
            await FindNewGapsAsync(names, servers, state).ConfigureAwait(false);
            if (!state.Settings.Value.IsEmpty)
                manifest = manifest with { Settings = ReadSettings(state.Settings.Value) };

            var log = new JetStreamLog(id, names, servers, options, manifest, settings, found, writerId, state, clock, time, logger);
            log.Begin();
            return log;
        }
        catch (NatsJSApiException refusal)
        {
            throw new ClusterException(ErrorCode.StorageFailed, $"NATS refuses the stream '{names.Stream}': {refusal.Error.Description}");
        }
    }

    internal static StreamConfig ConfigOf(StreamNames names, PartitionManifest manifest, LogSettings settings, int replicas) =>
        new(names.Stream, [names.Subject + ".*"])
        {
            Description = names.Describe(manifest),
            Retention = StreamConfigRetention.Limits,
            Storage = StreamConfigStorage.File,
            NumReplicas = replicas,
            MaxBytes = settings.RetentionBytes ?? -1,
            Discard = settings.Overflow == OverflowPolicy.Reject ? StreamConfigDiscard.New : StreamConfigDiscard.Old,
            MaxMsgs = -1,
            MaxMsgSize = -1,
            MaxConsumers = -1,
            AllowDirect = true,

            // Age is not the stream's: its last message says where the log ends, and has to stay however old it is.
            MaxAge = TimeSpan.Zero,

            // Only from the front, by retention.
            DenyDelete = true,
        };

    /// <summary>The settings that a stream has, where it could not be given the ones that it should have.</summary>
    private static LogSettings SettingsIn(StreamConfig config, LogSettings wanted) => wanted with
    {
        RetentionBytes = config.MaxBytes > 0 ? config.MaxBytes : null,
        Overflow = config.Discard == StreamConfigDiscard.New ? OverflowPolicy.Reject : OverflowPolicy.DropOldest,
    };

    /// <exception cref="PartitionDamagedException">There was one, and it is gone.</exception>
    private static async Task<(StreamInfo Stream, PartitionManifest Manifest)> EnsureStreamAsync(
        StreamNames names, StreamMark mark, TopicInfo topic, PartitionInfo info, LogSettings settings, JetStreamServers servers)
    {
        int replicas = topic.Settings.Replicas;
        PartitionManifest manifest = PartitionDirectories.NewManifest(topic, info);
        Task<StreamInfo?> finding = servers.FindStreamAsync(names.Stream);
        await Task.WhenAll(finding, mark.LoadAsync()).ConfigureAwait(false);
        StreamInfo? known = await finding.ConfigureAwait(false);

        // Another SPU may have made it between the two answers.
        if (known is null && await mark.IsMissedAsync(info).ConfigureAwait(false))
        {
            known = await servers.FindStreamAsync(names.Stream).ConfigureAwait(false) ?? throw new PartitionDamagedException(
                $"the NATS stream '{names.Stream}', which had this partition, is gone, and a new one would give out the same offsets again; "
                + "restore it from a copy, or delete the topic and make it again");
        }

        if (known is null)
        {
            try
            {
                return (await servers.CreateStreamAsync(ConfigOf(names, manifest, settings, replicas)).ConfigureAwait(false), manifest);
            }
            catch (NatsJSApiException taken) when (taken.Error.ErrCode is JetStreamErrors.SubjectsOverlap or JetStreamErrors.StreamNameInUse)
            {
                throw Foreign(names);
            }
            catch (NatsJSApiException many) when (JetStreamErrors.IsTooManyReplicas(many.Error.ErrCode))
            {
                throw JetStreamErrors.TooManyReplicas(replicas, many);
            }
        }

        if (names.FindIncarnation(known.Config.Description) is not { } incarnation
            || known.Config.Subjects?.SequenceEqual([names.Subject + ".*"]) is not true
            || known.Config.Storage != StreamConfigStorage.File || known.Config.Retention != StreamConfigRetention.Limits)
        {
            throw Foreign(names);
        }

        return (known, manifest with { Incarnation = incarnation });
    }

    /// <summary>Where there is no room for it, what is stored is served all the same: it is written the next time that it is opened.</summary>
    private static async Task SetMarkAsync(StreamMark mark, StreamInfo stream, Guid incarnation)
    {
        try
        {
            await mark.SetAsync(incarnation).ConfigureAwait(false);
        }
        catch (ClusterException full) when (full.Code == ErrorCode.StorageFull && stream.State.Messages > 0)
        {
        }
    }

    /// <summary>Whether a stream is configured otherwise than it should be now.</summary>
    private static bool Differs(StreamConfig known, StreamConfig wanted) =>
        known.MaxBytes != wanted.MaxBytes || known.Discard != wanted.Discard || known.NumReplicas != wanted.NumReplicas || known.MaxAge != wanted.MaxAge;

    private static ClusterException Foreign(StreamNames names) => new(
        ErrorCode.StorageFailed,
        $"the NATS stream '{names.Stream}', or its subjects '{names.Subject}.*', are not this hub's, and were not touched; "
        + "delete that stream, or use another NATS account");

    /// <summary>
    /// Writes an epoch behind the last message: if it is taken, that message was the last one indeed, and none of another writer comes
    /// behind it any more.
    /// </summary>
    /// <remarks>
    /// The leader's entry is read after the end was, and written before the epoch is. So of two SPUs the one with the lower leader epoch
    /// either sees the other's entry, or comes behind the other's epoch with an end that is not the end any more.
    /// </remarks>
    private static async Task<Found> TakePlaceAsync(
        StreamInfo stream, StreamConfig wanted, StreamNames names, JetStreamServers servers, LeaderEntry leader, Guid writerId, long firstOffset)
    {
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            if (attempt > 0)
                stream = await servers.FindStreamAsync(names.Stream).ConfigureAwait(false) ?? throw servers.Unavailable($"the stream '{names.Stream}' is gone");

            long last = (long)stream.State.LastSeq;
            if (last > 0 && stream.State.Messages == 0)
            {
                throw new PartitionDamagedException(
                    $"somebody has emptied the stream '{names.Stream}', which had {last} messages: where it went on is not known; "
                    + "restore it, or delete the topic and make it again");
            }

            long firstSequence = Math.Max(1, (long)stream.State.FirstSeq);
            Task checking = leader.CheckAsync();
            Task<StreamMessage?> heading = FindAsync(firstSequence), tailing = FindAsync(last);
            await Task.WhenAll(checking, heading, tailing).ConfigureAwait(false);
            using StreamMessage? head = await heading.ConfigureAwait(false);
            using StreamMessage? tail = await tailing.ConfigureAwait(false) ?? await FindBeforeDeletedAsync().ConfigureAwait(false);
            if (last > 0 && tail is null)
                continue;

            long placed = Math.Max(last, tail?.Sequence ?? 0);
            (long next, long latest) = (firstOffset, StreamMessage.NoTime);
            if (tail is not null)
                (next, latest) = (tail.NextOffset, tail.Latest);

            var found = new Found(stream, firstSequence, head?.BaseOffset ?? next, tail?.Sequence ?? 0, placed, next, latest);
            if (tail is { Kind: MessageKind.Epoch } && tail.Writer == writerId)
                return found;

            await leader.ClaimAsync().ConfigureAwait(false);
            if (Differs(stream.Config, wanted))
                found = found with { Stream = stream = await TryUpdateAsync(servers, wanted).ConfigureAwait(false) ?? stream };

            PublishOutcome outcome = await PublishEpochAsync(names, servers, writerId, next, latest, placed).ConfigureAwait(false);
            switch (outcome.Result)
            {
                case PublishResult.Stored:
                    return found with { LastSequence = outcome.Sequence, Placed = outcome.Sequence };

                // Readers can do without. The first message that finds room again is fenced all the same.
                case PublishResult.Full:
                    return found;
            }

            // What there was no room for at last.
            async Task<StreamMessage?> FindBeforeDeletedAsync()
            {
                IReadOnlySet<long> deleted = last > 0 && stream.State.NumDeleted > 0 ? await servers.FindDeletedAsync(names.Stream).ConfigureAwait(false) : new HashSet<long>();
                long before = last;
                while (deleted.Contains(before))
                    before--;

                return before < last && before >= firstSequence ? await FindAsync(before).ConfigureAwait(false) : null;
            }

            Task<StreamMessage?> FindAsync(long sequence) => last == 0
                ? Task.FromResult<StreamMessage?>(null)
                : servers.FindFromLeaderAsync(names.Stream, sequence, names.Subject + ".*");
        }

        throw servers.Unavailable($"another writer goes on with the stream '{names.Stream}'; run one hub on it");
    }

    /// <summary>Null where the servers refuse it: the records are as well as before, and who changes settings is told why.</summary>
    private static async Task<StreamInfo?> TryUpdateAsync(JetStreamServers servers, StreamConfig wanted)
    {
        try
        {
            return await servers.UpdateStreamAsync(wanted).ConfigureAwait(false);
        }
        catch (NatsJSApiException)
        {
            return null;
        }
    }

    private static async Task<PublishOutcome> PublishEpochAsync(
        StreamNames names, JetStreamServers servers, Guid writerId, long nextOffset, long latest, long expected)
    {
        var payload = new System.Buffers.ReadOnlySequence<byte>(StreamMessage.EncodeEpoch(nextOffset, writerId));
        Task<PublishOutcome> sent = await servers.PublishAsync(names.Epoch, payload, HeadersOf(expected, latest)).ConfigureAwait(false);
        return await sent.ConfigureAwait(false);
    }

    private static NatsHeaders HeadersOf(long expected, long latest) => new()
    {
        ["Nats-Expected-Last-Sequence"] = expected.ToString(CultureInfo.InvariantCulture),
        [StreamMessage.TimeHeader] = latest.ToString(CultureInfo.InvariantCulture),
    };

    private static async Task<State> LoadStateAsync(StateBucket bucket, Guid incarnation)
    {
        StateEntry Entry(string kind) => new(bucket, $"{incarnation:N}.{kind}");
        var state = new State(Entry("settings"), Entry("gaps"), Entry("clock"), Entry("mirrored"));
        await Task.WhenAll(state.Settings.LoadAsync(), state.Gaps.LoadAsync(), state.Clock.LoadAsync(), state.Mirrored.LoadAsync()).ConfigureAwait(false);
        (state.LastGapSequence, IEnumerable<Gap> gaps) = DecodeGaps(state.Gaps.Value);
        Gap[] known = KnownGaps.Merge(gaps);
        state.KnownGaps = new KnownGaps(known, known.Length);
        if (state.Mirrored.Value.Length == sizeof(long))
            state.MirroredOffset = BinaryPrimitives.ReadInt64BigEndian(state.Mirrored.Value.Span);

        return state;
    }

    private static Dictionary<string, string> ReadSettings(ReadOnlyMemory<byte> json) =>
        JsonSerializer.Deserialize(json.Span, StateJson.Default.DictionaryStringString) ?? [];

    /// <summary>Those that the bucket was not told of yet.</summary>
    private static async Task FindNewGapsAsync(StreamNames names, JetStreamServers servers, State state)
    {
        while (await servers.FindFromLeaderAsync(names.Stream, Math.Max(1, state.LastGapSequence + 1), names.Gap).ConfigureAwait(false) is { } found)
        {
            using StreamMessage message = found;
            state.KnownGaps = state.KnownGaps.With(message.ToGap());
            state.LastGapSequence = message.Sequence;
        }
    }

    private async Task<StreamInfo> FindOwnAsync() => await TryFindOwnAsync().ConfigureAwait(false) ?? throw Fail(Gone);

    /// <summary>Null where there is none, or another that was made in its place.</summary>
    private async Task<StreamInfo?> TryFindOwnAsync()
    {
        StreamInfo? stream = await _servers.FindStreamAsync(_names.Stream).ConfigureAwait(false);
        return _names.FindIncarnation(stream?.Config.Description) == Manifest.Incarnation ? stream : null;
    }
}
