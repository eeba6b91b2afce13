namespace EdgeStream.ClusterFaults.Tests;

/// <summary>
/// Whether a history is one of a log: what was acknowledged is read once, at its offset; what was not, once or not at all; the records of a
/// writer are in order; offsets have no holes; all readers have read the same.
/// </summary>
internal static class HistoryChecker
{
    private const int MostOfAKind = 5;

    /// <summary>What is wrong, a line each; empty where nothing is.</summary>
    public static IReadOnlyList<string> Check(History history)
    {
        List<string> wrong = [];
        if (history.Complete.Count == 0)
            return ["nobody has read the topic from the beginning to the end"];

        foreach (Reading reading in history.Complete)
        {
            wrong.AddRange(First(Holes(reading)));
            wrong.AddRange(First(Unsent(history, reading)));
            wrong.AddRange(First(Twice(reading)));
            wrong.AddRange(First(Misplaced(history, reading)));
            wrong.AddRange(First(OutOfOrder(history, reading)));
        }

        Dictionary<(int Partition, long Offset), string> log = [];
        foreach (Seen record in history.Complete[0].Records)
            log.TryAdd((record.Partition, record.Offset), record.Payload);

        foreach (Reading other in history.Complete.Skip(1))
        {
            wrong.AddRange(First(Different(log, other)));
            if (other.Count != history.Complete[0].Count)
                wrong.Add($"{history.Complete[0].Reader} has read {history.Complete[0].Count} records, {other.Reader} {other.Count}");
        }

        foreach (Reading live in history.Live)
        {
            wrong.AddRange(First(Holes(live)));
            wrong.AddRange(First(Different(log, live)));
        }

        foreach (Reading member in history.Group)
            wrong.AddRange(First(Different(log, member)));

        if (history.Group.Count > 0)
            wrong.AddRange(First(NotGiven(log, history.Group)));

        return wrong;
    }

    private static IEnumerable<string> First(IEnumerable<string> wrong) => wrong.Take(MostOfAKind);

    private static IEnumerable<string> Holes(Reading reading)
    {
        Dictionary<int, long> next = [];
        foreach (Seen record in reading.Records)
        {
            long expected = next.GetValueOrDefault(record.Partition);
            if (record.Offset != expected)
                yield return $"{reading.Reader}: partition {record.Partition} has offset {record.Offset} where {expected} comes next";

            next[record.Partition] = record.Offset + 1;
        }
    }

    private static IEnumerable<string> Unsent(History history, Reading reading)
    {
        HashSet<(int, string)> sent = [.. history.Sent.Select(one => (one.Partition, one.Payload))];
        return reading.Records.Where(record => !sent.Contains((record.Partition, record.Payload)))
            .Select(record => $"{reading.Reader}: partition {record.Partition} has '{record.Payload}' at {record.Offset}, which nobody has sent there");
    }

    private static IEnumerable<string> Twice(Reading reading) => reading.Records
        .GroupBy(record => record.Payload).Where(same => same.Count() > 1)
        .Select(same => $"{reading.Reader}: '{same.Key}' is there {same.Count()} times, at {string.Join(", ", same.Select(one => $"{one.Partition}/{one.Offset}"))}");

    private static IEnumerable<string> Misplaced(History history, Reading reading)
    {
        ILookup<string, Seen> seen = reading.Records.ToLookup(record => record.Payload);
        foreach (Sent sent in history.Sent.Where(one => one.Offset is not null))
        {
            if (!seen.Contains(sent.Payload))
                yield return $"{reading.Reader}: '{sent.Payload}' was acknowledged at {sent.Partition}/{sent.Offset}, and is not there";
            else if (seen[sent.Payload].All(record => record.Offset != sent.Offset))
                yield return $"{reading.Reader}: '{sent.Payload}' was acknowledged at {sent.Partition}/{sent.Offset}, and is at {seen[sent.Payload].First().Offset}";
        }
    }

    private static IEnumerable<string> OutOfOrder(History history, Reading reading)
    {
        Dictionary<string, Sent> sent = [];
        foreach (Sent one in history.Sent)
            sent.TryAdd(one.Payload, one);

        Dictionary<(int, string), Seen> last = [];
        foreach (Seen record in reading.Records.OrderBy(record => record.Partition).ThenBy(record => record.Offset))
        {
            if (!sent.TryGetValue(record.Payload, out Sent? one))
                continue;

            (int, string) place = (record.Partition, one.Writer);
            if (last.TryGetValue(place, out Seen before) && sent[before.Payload].Sequence >= one.Sequence)
                yield return $"{reading.Reader}: '{record.Payload}' at {record.Partition}/{record.Offset} comes after '{before.Payload}' at {before.Offset}";

            last[place] = record;
        }
    }

    private static IEnumerable<string> Different(Dictionary<(int Partition, long Offset), string> log, Reading reading)
    {
        foreach (Seen record in reading.Records)
        {
            if (!log.TryGetValue((record.Partition, record.Offset), out string? payload))
                yield return $"{reading.Reader} was given '{record.Payload}' at {record.Partition}/{record.Offset}, where there is nothing";
            else if (payload != record.Payload)
                yield return $"{reading.Reader} was given '{record.Payload}' at {record.Partition}/{record.Offset}, where there is '{payload}'";
        }
    }

    private static IEnumerable<string> NotGiven(Dictionary<(int Partition, long Offset), string> log, List<Reading> members)
    {
        HashSet<(int, long)> given = [.. members.SelectMany(member => member.Records).Select(record => (record.Partition, record.Offset))];
        return log.Where(record => !given.Contains(record.Key))
            .Select(record => $"the group was never given '{record.Value}' at {record.Key.Partition}/{record.Key.Offset}");
    }
}
