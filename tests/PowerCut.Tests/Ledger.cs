using System.Diagnostics;
using System.Globalization;
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
    private List<RecordName> _seen = [];
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
            directory, () => PartitionManifest.CreateNew("power", 0, new Dictionary<string, string>()), options);
        Assert.False(log.Recovery.NewIncarnation, "the log has lost its manifest");
        List<RecordName> records = Read(log);
        AssertKept(records);
        AssertOrdered(records, refusals);

        // What was read was called durable; from now on it has to stay.
        _seen = records;
        Checked += _promised.Count;
        _promised.Clear();

        var own = new RecordName(FirstRunOfChecks + _checks++, 0, 0);
        AppendedRange range = await log.AppendAsync(Batches.Of(own.ToValue()), AckLevel.Durable).InTimeAsync();
        Assert.Equal(records.Count, range.BaseOffset);
        _promised.Add(new Acknowledgement(AckLevel.Durable, range.BaseOffset, 1, own, Stopwatch.GetTimestamp()));
    }

    private static List<RecordName> Read(PartitionLog log) =>
        [.. Batches.ReadValues(log, maxBytes: 1024 * 1024).Select(RecordName.OfValue)];

    private void AssertKept(List<RecordName> records)
    {
        for (int offset = 0; offset < _seen.Count; offset++)
            AssertHolds(records, offset, _seen[offset], "was read there");

        foreach (Acknowledgement promise in _promised)
        {
            for (int step = 0; step < promise.Count; step++)
                AssertHolds(records, promise.BaseOffset + step, promise.First.Next(step), $"was acknowledged as {promise.Level}");
        }
    }

    private static void AssertHolds(List<RecordName> records, long offset, RecordName name, string promise)
    {
        string held = offset < records.Count
            ? records[(int)offset].ToString()
            : string.Create(CultureInfo.InvariantCulture, $"nothing: it ends at {records.Count}");
        if (held != name.ToString())
            Assert.Fail($"record {name} {promise} at offset {offset}, where the log holds {held}");
    }

    /// <summary>Of each producer the log holds the first so many records, each once and in their order.</summary>
    private static void AssertOrdered(List<RecordName> records, bool refusals)
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
