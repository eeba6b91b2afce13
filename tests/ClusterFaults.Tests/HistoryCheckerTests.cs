namespace EdgeStream.ClusterFaults.Tests;

/// <summary>The checker sees what a broken log would do.</summary>
public sealed class HistoryCheckerTests
{
    private readonly History _history = new();
    private readonly List<Seen> _log = [];

    public HistoryCheckerTests()
    {
        for (int partition = 0; partition < 2; partition++)
        {
            for (int i = 0; i < 10; i++)
            {
                Sent sent = _history.Send(partition, $"writer-{i % 2}", i);
                if (i != 7)
                    sent.Acknowledge(i);

                _log.Add(new Seen(partition, i, sent.Payload));
            }
        }
    }

    [Fact]
    public void Log_as_it_should_be_is_taken() => Assert.Empty(Check(_log, _log, _log, _log));

    [Fact]
    public void Record_without_acknowledgement_may_be_missing()
    {
        Sent lost = _history.Send(0, "writer-9", 0);
        Assert.Null(lost.Offset);
        Assert.Empty(Check(_log, _log, _log, _log));
    }

    [Fact]
    public void Lost_record_is_seen()
    {
        _log.RemoveAt(9);
        Complains("acknowledged at 0/9, and is not there");
    }

    [Fact]
    public void Record_that_is_there_twice_is_seen()
    {
        _log.Add(_log[3] with { Offset = 10 });
        Complains("is there 2 times");
    }

    [Fact]
    public void Record_without_acknowledgement_that_is_there_twice_is_seen()
    {
        _log.Insert(10, _log[7] with { Offset = 10 });
        Complains("'writer-1 0 7' is there 2 times");
    }

    [Fact]
    public void Records_of_a_writer_in_another_order_are_seen()
    {
        (_log[7], _log[5]) = (_log[7] with { Payload = _log[5].Payload }, _log[5] with { Payload = _log[7].Payload });
        Complains("comes after");
    }

    [Fact]
    public void Wrong_offset_is_seen()
    {
        _history.Send(0, "writer-2", 0).Acknowledge(11);
        _log.Insert(10, new Seen(0, 10, "writer-2 0 0"));
        Complains("was acknowledged at 0/11, and is at 10");
    }

    [Fact]
    public void Hole_is_seen()
    {
        _log.RemoveAt(7);
        Complains("has offset 8 where 7 comes next");
    }

    [Fact]
    public void Record_of_another_partition_is_seen()
    {
        _log.Add(new Seen(1, 10, "writer-0 0 99"));
        Complains("which nobody has sent there");
    }

    [Fact]
    public void Readers_that_differ_are_seen()
    {
        Seen[] other = [.. _log];
        other[7] = other[7] with { Payload = "something else" };
        Assert.Contains(Check(_log, other, _log, _log), line => line.Contains("where there is 'writer-1 0 7'", StringComparison.Ordinal));
        Assert.Contains(Check(_log, [.. _log.Take(19)], _log, _log), line => line.Contains("has read 20 records", StringComparison.Ordinal));
    }

    [Fact]
    public void Live_reader_that_was_given_what_is_gone_later_is_seen()
    {
        Seen[] live = [.. _log, new Seen(1, 10, "writer-0 1 10")];
        Assert.Contains(Check(_log, _log, live, _log), line => line.Contains("where there is nothing", StringComparison.Ordinal));
        Assert.Empty(Check(_log, _log, [.. _log.Take(15)], _log));
        Seen[] again = [.. _log, _log[^1]];
        Assert.Contains(Check(_log, _log, again, _log), line => line.Contains("where 10 comes next", StringComparison.Ordinal));
    }

    [Fact]
    public void Group_that_was_not_given_a_record_is_seen()
    {
        Seen[] given = [.. _log.Where(record => record.Offset != 4)];
        Assert.Contains(Check(_log, _log, _log, given), line => line.Contains("never given 'writer-0 0 4'", StringComparison.Ordinal));
        Assert.Empty(Check(_log, _log, _log, [.. _log, .. _log]));
    }

    private void Complains(string of) => Assert.Contains(Check(_log, _log, [], _log), line => line.Contains(of, StringComparison.Ordinal));

    private IReadOnlyList<string> Check(IEnumerable<Seen> first, IEnumerable<Seen> second, IEnumerable<Seen> live, IEnumerable<Seen> group)
    {
        _history.Complete.Clear();
        _history.Live.Clear();
        _history.Group.Clear();
        _history.Complete.AddRange([Read("first", first), Read("second", second)]);
        _history.Live.Add(Read("live", live));
        _history.Group.Add(Read("member", group));
        return HistoryChecker.Check(_history);
    }

    private static Reading Read(string reader, IEnumerable<Seen> records)
    {
        var reading = new Reading(reader);
        foreach (Seen record in records)
            reading.Add(record);

        return reading;
    }
}
