using EdgeStream.Storage.Gaps;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Gaps;

public class GapLedgerTests
{
    private const string Folder = SimulatedDisk.Root + "/log";

    private readonly SimulatedDisk _disk = new();

    public GapLedgerTests() => _disk.CreateDirectory(Folder);

    [Fact]
    public void Gaps_that_touch_and_have_one_reason_are_one()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        ledger.Add(Of(10, 19));
        ledger.Add(Of(20, 29));
        ledger.Add(Of(30, 39, GapReason.Damage));
        ledger.Add(Of(0, 9));
        Assert.Equal([(0, 29, 300, GapReason.Retention), (30, 39, 100, GapReason.Damage)], Said(ledger));
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
    }

    [Fact]
    public void Front_of_a_gap_can_be_taken_back()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        ledger.Add(Of(0, 4));
        ledger.Add(Of(10, 29));
        ledger.Shorten(ledger.Find(15)!, 15);
        Assert.Equal([(0, 4), (15, 29)], ledger.Gaps.Select(gap => (gap.First, gap.Last)));
        Assert.Null(ledger.Find(14));
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
        ledger.Add(Of(40, 41));
        Assert.Equal(3, GapLedger.Open(_disk, Folder).Gaps.Count);
        Assert.Throws<ArgumentException>(() => ledger.Shorten(ledger.Find(15)!, 30));
    }

    [Fact]
    public void Gaps_that_follow_each_other_are_noted_at_once()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        ledger.Add(Of(5, 6));
        ledger.Add([.. Enumerable.Range(0, 1000).Select(n => Of(2 * n, (2 * n) + 1, n % 2 == 0 ? GapReason.Damage : GapReason.Retention))]);
        Assert.Equal(1000, ledger.Gaps.Count);
        Assert.Empty(ledger.Uncovered(0, 1999));
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
        Assert.Equal((1, 1000L), (ledger.Find(1500)!.Records - 1, ledger.FindNext(1000)!.First));
        ledger.Add(Of(2000, 2001, GapReason.Torn));
        Assert.Equal(1001, GapLedger.Open(_disk, Folder).Gaps.Count);
    }

    [Fact]
    public void Hundred_thousand_gaps_are_noted_found_and_read_again()
    {
        const int Many = 100_000;
        using var temp = new TempDirectory();
        Directory.CreateDirectory(temp.Sub("log"));
        GapLedger ledger = GapLedger.Open(new FaultyFiles(), temp.Sub("log"));
        IReadOnlyList<Gap> early = ledger.Gaps;
        for (int i = 0; i < Many; i++)
            ledger.Add(Of(10L * i, (10L * i) + 4));

        Assert.Empty(early);
        foreach (GapLedger known in (GapLedger[])[ledger, GapLedger.Open(new FaultyFiles(), temp.Sub("log"))])
        {
            Assert.Equal(Many, known.Gaps.Count);
            Assert.Equal(777_770, known.Find(777_773)!.First);
            Assert.Null(known.Find(777_775));
            Assert.Equal([(777_775L, 777_779L)], known.Uncovered(777_772, 777_783));
        }
    }

    [Fact]
    public void What_is_noted_already_is_not_noted_again()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        ledger.Add(Of(10, 19, GapReason.Damage));
        ledger.Add(Of(5, 24));
        Assert.Equal([(5, 9), (10, 19), (20, 24)], ledger.Gaps.Select(gap => (gap.First, gap.Last)));
        Assert.Equal(GapReason.Damage, ledger.Find(10)!.Reason);
        Assert.Null(ledger.Find(4));
        Assert.Null(ledger.Find(25));
    }

    [Fact]
    public void Full_disk_is_no_end_of_what_can_be_noted()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        long size = ledger.SizeInBytes;
        _disk.Faults = new FaultPlan(0, FaultyFiles.DiskFull, kind => kind is OperationKind.Create or OperationKind.Allocate, untilHealed: true);
        for (int i = 0; i < 1000; i++)
            ledger.Add(Of(10 * i, (10 * i) + 9));

        Assert.Equal([(0, 9999, 100_000, GapReason.Retention)], Said(ledger));
        Assert.Equal(size, ledger.SizeInBytes);
        _disk.Faults = null;
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
    }

    [Theory]

    // As many as are left of the file, and more.
    [InlineData(60, 2)]
    [InlineData(60, 5)]
    [InlineData(60, 50)]

    // What was joined into the last sector is behind the free ones.
    [InlineData(64, 2)]
    [InlineData(64, 30)]
    public void Full_disk_is_no_end_of_what_can_be_noted_at_once(int before, int run)
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        long size = ledger.SizeInBytes;
        for (int i = 0; i < before; i++)
            ledger.Add(Of(10 * i, (10 * i) + 9));

        _disk.Faults = new FaultPlan(0, FaultyFiles.DiskFull, kind => kind is OperationKind.Create or OperationKind.Allocate, untilHealed: true);
        ledger.Add([.. Enumerable.Range(before, run).Select(i => Of(10 * i, (10 * i) + 9, i % 2 == 0 ? GapReason.Damage : GapReason.Retention))]);
        Assert.Equal(1 + run, ledger.Gaps.Count);
        Assert.Empty(ledger.Uncovered(0, (10 * (before + run)) - 1));
        Assert.Equal(size, ledger.SizeInBytes);
        _disk.Faults = null;
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
    }

    [Fact]
    public void Run_of_gaps_on_a_full_disk_goes_into_the_entries_that_are_free_wherever_they_are()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        for (int i = 0; i < 64; i++)
            ledger.Add(Of(10 * i, (10 * i) + 9));

        // Behind the last sector's one is room for seven, and before it for 55: all in a row do not fit.
        _disk.Faults = new FaultPlan(0, FaultyFiles.DiskFull, kind => kind is OperationKind.Create or OperationKind.Allocate, untilHealed: true);
        ledger.Add([.. Enumerable.Range(0, 60).Select(i => Of(1000 + (10 * i), 1004 + (10 * i)))]);
        Assert.Equal(61, ledger.Gaps.Count);
        _disk.Faults = null;
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
    }

    [Fact]
    public void Many_gaps_that_do_not_touch_are_all_kept()
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        for (int i = 0; i < 500; i++)
            ledger.Add(Of(10 * i, (10 * i) + 3));

        Assert.Equal(500, ledger.Gaps.Count);
        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
        Assert.Equal(4, ledger.Find(4993)!.Records);
    }

    [Theory]
    [InlineData("header")]
    [InlineData("cut")]
    [InlineData("entry")]
    public void Damage_costs_no_entry_that_is_good(string damage)
    {
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        for (int i = 0; i < 10; i++)
            ledger.Add(Of(10 * i, (10 * i) + 3));

        string path = Folder + "/" + GapLedger.FileName;
        using (Storage.Files.ILogFile file = _disk.OpenForWriting(path))
        {
            if (damage == "cut")
                file.Truncate(64 * 8);
            else
                file.Write([new byte[] { 0xFF, 0xFF }], damage == "header" ? 0 : 64);
        }

        ledger = GapLedger.Open(_disk, Folder);
        Assert.Equal(damage == "header" ? 10 : damage == "cut" ? 7 : 9, ledger.Gaps.Count);
        for (int i = 100; i < 300; i++)
            ledger.Add(Of(10 * i, (10 * i) + 3));

        Assert.Equal(Said(ledger), Said(GapLedger.Open(_disk, Folder)));
    }

    [Fact]
    public void Power_cut_at_any_step_keeps_what_was_noted()
    {
        var random = new Random(1);
        GapLedger ledger = GapLedger.Open(_disk, Folder);
        var noted = new List<(int Operations, int Count)>();
        for (int i = 0; i < 200; i++)
        {
            ledger.Add(Of(10 * i, (10 * i) + 9, i % 50 == 0 ? GapReason.Damage : GapReason.Retention));
            noted.Add((_disk.OperationCount, i + 1));
        }

        var state = new CrashState(_disk, CrashModel.Journaled, seed: 1);
        while (state.Advance())
        {
            int due = noted.LastOrDefault(note => note.Operations <= state.Prefix).Count;
            for (int image = 0; image < 3; image++)
            {
                SimulatedDisk cut = state.PowerCut(random);
                if (due == 0)
                    continue;

                IReadOnlyList<(long First, long Last)> missing = GapLedger.Open(cut, Folder).Uncovered(0, (10 * due) - 1);
                Assert.Empty(missing);
            }
        }
    }

    private static Gap Of(long first, long last, GapReason reason = GapReason.Retention) => new(first, last, 10 * (last - first + 1), 5, 6, reason, 7);

    private static IEnumerable<(long First, long Last, long Bytes, GapReason Reason)> Said(GapLedger ledger) =>
        ledger.Gaps.Select(gap => (gap.First, gap.Last, gap.Bytes, gap.Reason));
}
