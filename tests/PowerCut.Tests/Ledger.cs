using System.Diagnostics;
using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

/// <summary>
/// What a log has promised, over all its lives, and the check that it was kept: each acknowledged record is at its offset with its
/// value, and so is each record that a reader has ever seen.
/// </summary>
internal sealed class Ledger(string directory)
{
    /// <summary>Above the numbers of writers, for the records that the check itself appends.</summary>
    private const int FirstRunOfChecks = 1_000_000;

    private readonly List<Acknowledgement> _promised = [];
    private SortedDictionary<long, RecordName> _seen = [];
    private int _checks;

    /// <summary>How many acknowledgements were checked.</summary>
    public int Checked { get; private set; }

    /// <summary>Takes down what a writer was promised: what survives its own death, or a power cut as well.</summary>
    /// <param name="writer">Who was promised it.</param>
    /// <param name="atLeast">The weakest promise that counts.</param>
    /// <param name="until">When the power was cut; what the writer got later is not held against the log.</param>
    public void Add(WriterProcess writer, AckLevel atLeast, long until = long.MaxValue) =>
        _promised.AddRange(writer.Acknowledged.Where(promise => promise.Level >= atLeast && promise.Timestamp <= until));

    /// <summary>Opens the log anew and checks it, and that it goes on.</summary>
    /// <param name="options">Sizes.</param>
    /// <param name="refusals">Some appends were refused, so that numbers of a producer may be missing between others.</param>
    public async Task CheckAsync(LogOptions options, bool refusals = false)
    {
        await using PartitionLog log = PartitionLog.Open(
            directory, () => PartitionManifest.CreateNew("power", 0, new Dictionary<string, string>()), options,
            settings: WriterOptions.Settings);
        Assert.False(log.Recovery.NewIncarnation, "the log has lost its manifest");
        SortedDictionary<long, RecordName> records = Read(log);
        AssertKept(records);

        // A gap holds nothing that was promised, but records that somebody has produced.
        AssertOrdered(records.Values, refusals || log.Gaps.Count > 0);

        // What was read was called durable; from now on it has to stay.
        _seen = records;
        Checked += _promised.Count;
        _promised.Clear();

        long end = log.Offsets.End;
        var own = new RecordName(FirstRunOfChecks + _checks++, 0, 0);
        AppendedRange range = await log.AppendAsync(Batches.Of(own.ToValue()), AckLevel.Durable).InTimeAsync();
        Assert.Equal(end, range.BaseOffset);
        _promised.Add(new Acknowledgement(AckLevel.Durable, range.BaseOffset, 1, own, Stopwatch.GetTimestamp()));
    }

    /// <summary>All records, after each hole between them was found in the log's own ledger.</summary>
    private static SortedDictionary<long, RecordName> Read(PartitionLog log)
    {
        var records = new SortedDictionary<long, RecordName>(
            Batches.ReadRecords(log).ToDictionary(record => record.Key, record => RecordName.OfValue(record.Value)));
        for (long offset = 0; offset < log.Offsets.End; offset++)
        {
            if (!records.ContainsKey(offset) && log.FindGap(offset) is null)
                Assert.Fail($"offset {offset} is neither there nor in a gap");
        }

        return records;
    }

    private void AssertKept(SortedDictionary<long, RecordName> records)
    {
        foreach ((long offset, RecordName name) in _seen)
            AssertHolds(records, offset, name, "was read there");

        foreach (Acknowledgement promise in _promised)
        {
            for (int step = 0; step < promise.Count; step++)
                AssertHolds(records, promise.BaseOffset + step, promise.First.Next(step), $"was acknowledged as {promise.Level}");
        }
    }

    private static void AssertHolds(SortedDictionary<long, RecordName> records, long offset, RecordName name, string promise)
    {
        string held = records.TryGetValue(offset, out RecordName found) ? found.ToString() : "nothing";
        if (held != name.ToString())
            Assert.Fail($"record {name} {promise} at offset {offset}, where the log holds {held}");
    }

    /// <summary>Of each producer the log holds the first so many records, each once and in their order.</summary>
    private static void AssertOrdered(IEnumerable<RecordName> records, bool refusals)
    {
        var next = new Dictionary<(int Run, int Producer), int>();
        foreach (RecordName name in records)
        {
            int expected = next.GetValueOrDefault((name.Run, name.Producer));
            if (refusals ? name.Number < expected : name.Number != expected)
                Assert.Fail($"record {name} comes where number {expected} of its producer was due");

            next[(name.Run, name.Producer)] = name.Number + 1;
        }
    }
}
