using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Grpc.Core;

namespace EdgeStream.Mirror.Live;

/// <summary>
/// The edge's end of the live lane: of each live topic that the ordered lane is behind with, the latest value of each key, once a
/// second at most, and no more than the lane's share of the link. Where there is no backlog it sends nothing.
/// </summary>
/// <param name="controller">Has the topics.</param>
/// <param name="topics">Those that are live, where they are mirror topics.</param>
/// <param name="time">For the pace.</param>
public sealed class LiveLane(StreamController controller, IReadOnlySet<string> topics, TimeProvider time) : IUplinkLane
{
    /// <summary>A topic of which so old records are not at the hub has a backlog, and its latest values are told ahead.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Pace = TimeSpan.FromSeconds(1);

    // However fast the link is.
    private const int MaxUpdateBytes = 16 * 1024;

    public string Name => "live";

    public async Task RunAsync(UplinkConnection connection, CancellationToken cancellationToken)
    {
        if (topics.Count == 0)
            return;

        using AsyncDuplexStreamingCall<V1.LiveUpdate, V1.LiveTaken> call = new V1.Live.LiveClient(connection.Channel).Report(cancellationToken: cancellationToken);
        var followed = new Dictionary<string, Followed>(StringComparer.Ordinal);
        var turns = new Queue<string>(topics);
        using var timer = new PeriodicTimer(Pace, time);
        while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false))
        {
            // Where there is no room for all of them, those that had none go first the next time.
            int room;
            for (int i = 0; i < topics.Count && (room = connection.Share.RoomAhead) > 0; i++)
            {
                string topic = turns.Dequeue();
                turns.Enqueue(topic);
                if (Find(followed, topic, connection.Marks) is not { } tail
                    || await tail.NextAsync(connection.Marks, time, Math.Min(room, MaxUpdateBytes), cancellationToken).ConfigureAwait(false) is not { } values)
                {
                    continue;
                }

                var update = new V1.LiveUpdate { Topic = topic, Values = { values } };
                connection.Share.WentAhead(update.CalculateSize());
                await call.RequestStream.WriteAsync(update, cancellationToken).ConfigureAwait(false);
                if (!await call.ResponseStream.MoveNext(cancellationToken).ConfigureAwait(false))
                    return;
            }
        }
    }

    /// <summary>What is known of a topic; null where it is no mirror topic at the moment.</summary>
    private Followed? Find(Dictionary<string, Followed> followed, string topic, HubMarks marks)
    {
        if (controller.Current.Topics.GetValueOrDefault(topic) is not { Settings.Mirror: true }
            || controller.GetPartition(topic, 0) is not { IsOpen: true } partition)
        {
            followed.Remove(topic);
            return null;
        }

        if (!followed.TryGetValue(topic, out Followed? known) || known.Log != partition.Segments)
            followed[topic] = known = new Followed(partition.Segments, marks.Of(partition.Segments));

        return known;
    }

    private sealed class Followed
    {
        private readonly LatestByKey _latest = new();
        private readonly LogTail _tail;
        private readonly Queue<(long At, long Offset)> _seen = new();
        private long _old;

        public Followed(PartitionLog log, long mark)
        {
            Log = log;
            _tail = new LogTail(log, _latest, LogTail.StartBehind(log, mark));
        }

        public PartitionLog Log { get; }

        /// <summary>
        /// Values that the hub has not been told, so many bytes of them or the one that is larger; null where there are none, or no
        /// backlog.
        /// </summary>
        public async ValueTask<List<V1.LiveValue>?> NextAsync(HubMarks marks, TimeProvider time, int maxBytes, CancellationToken cancellationToken)
        {
            try
            {
                await _tail.CatchUpAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (Exception problem) when (problem is IOException or EdgeStreamException)
            {
                // The ordered lane says so; what is live comes again with the next record.
                return null;
            }

            long now = time.GetTimestamp();
            _seen.Enqueue((now, Log.Offsets.Durable));
            while (_seen.TryPeek(out var first) && time.GetElapsedTime(first.At, now) >= Patience)
            {
                _old = first.Offset;
                _seen.Dequeue();
            }

            long mark = marks.Of(Log);
            _latest.RemoveBefore(mark);
            if (mark >= _old)
                return null;

            var values = new List<V1.LiveValue>();
            int bytes = 0;
            foreach (V1.LiveValue value in _latest.Waiting)
            {
                bytes += value.CalculateSize();
                if (bytes > maxBytes && values.Count > 0)
                    break;

                values.Add(value);
            }

            foreach (V1.LiveValue value in values)
                _latest.Remove(value);

            return values.Count > 0 ? values : null;
        }
    }
}
