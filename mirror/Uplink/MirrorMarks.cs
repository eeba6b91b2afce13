using System.Runtime.CompilerServices;
using EdgeStream.Storage.Log;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// How far each hub that this edge has joined has each log, and what follows from that for the log's own mark
/// (<see cref="PartitionLog.SetMirrored"/>), which never goes back. Kept in memory: a hub says where it stands at each connection,
/// and a mark that was passed once is in the log's checkpoint. Safe from any thread.
/// </summary>
/// <param name="rule">What counts where there are several hubs.</param>
public sealed class MirrorMarks(MirrorRule rule)
{
    private readonly Lock _lock = new();
    private readonly HashSet<string> _hubs = new(StringComparer.Ordinal);

    // By the log itself: a topic that is deleted and made anew begins anew, and the old one's marks go with it.
    private readonly ConditionalWeakTable<PartitionLog, Dictionary<string, long>> _marks = [];

    /// <summary>
    /// From now on the hub counts, also while it has not said anything. To be told of all hubs before any of them reports.
    /// </summary>
    public void Join(string hub)
    {
        lock (_lock)
            _hubs.Add(hub);
    }

    /// <summary>The hub does not count any more, so that logs which waited for it may be mirrored now.</summary>
    public void Leave(string hub)
    {
        lock (_lock)
        {
            _hubs.Remove(hub);
            foreach ((PartitionLog log, Dictionary<string, long> marks) in _marks)
            {
                marks.Remove(hub);
                Apply(log, marks);
            }
        }
    }

    /// <summary>What the hub has durably: all records below <paramref name="offset"/>. A hub that was left is not listened to.</summary>
    public void Report(PartitionLog log, string hub, long offset)
    {
        lock (_lock)
        {
            if (!_hubs.Contains(hub))
                return;

            Dictionary<string, long> marks = _marks.GetValue(log, static _ => new Dictionary<string, long>(StringComparer.Ordinal));
            marks[hub] = offset;
            Apply(log, marks);
        }
    }

    /// <summary>What the hub has last said of a log; null where it has not since the start.</summary>
    public long? Find(PartitionLog log, string hub)
    {
        lock (_lock)
            return _marks.TryGetValue(log, out Dictionary<string, long>? marks) && marks.TryGetValue(hub, out long mark) ? mark : null;
    }

    private void Apply(PartitionLog log, Dictionary<string, long> marks)
    {
        if (marks.Count == 0)
            return;

        if (rule == MirrorRule.Any)
            log.SetMirrored(marks.Values.Max());
        else if (marks.Count == _hubs.Count)
            log.SetMirrored(marks.Values.Min());
    }
}
