using EdgeStream.Storage.Time;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Time;

/// <summary>
/// Whatever is in the file: opening works, and what stands before the damage counts. EDGESTREAM_FUZZ_SEED repeats a case.
/// </summary>
public class AnchorFileTests(ITestOutputHelper output) : LogClockTestBase
{
    private const int HeaderSize = 8;

    [Fact]
    public void Format_is_pinned()
    {
        byte[] bytes = new byte[ClockAnchor.Size];
        var reading = new ClockReading(new Guid("00112233-4455-6677-8899-aabbccddeeff"), 0x0102, 0x018bcfe56800, true);
        new ClockAnchor(0x1122334455, reading).Write(bytes);
        Assert.Equal(
            "0000001122334455" + "00112233445566778899AABBCCDDEEFF" + "0000000000000102" + "0000018BCFE56800" + "00000001" + "26AA8B40",
            Convert.ToHexString(bytes));
        Assert.True(ClockAnchor.TryRead(bytes, out ClockAnchor read));
        Assert.Equal(new ClockAnchor(0x1122334455, reading), read);
        Assert.Equal("45534C4300000001", Convert.ToHexString(File.ReadAllBytes(ClockFile)[..HeaderSize]));
    }

    [Fact]
    public void Damaged_file_keeps_what_stands_before_the_damage()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_FUZZ_SEED"), out int given) ? given : Random.Shared.Next();
        output.WriteLine($"EDGESTREAM_FUZZ_SEED={seed}");
        var random = new Random(seed);
        for (int boot = 0; boot < 8; boot++)
        {
            Write(5);
            Clock.Synchronise();
            Write(5);
            Reboot(Hour);
        }

        byte[] whole = File.ReadAllBytes(ClockFile);
        ClockAnchor[] anchors = Log.Anchors.ToArray();
        for (int round = 0; round < 1500; round++)
        {
            (byte[] damaged, int intact) = Damage(whole, round, random);
            File.WriteAllBytes(ClockFile, damaged);
            Log = Open();
            Assert.True(Log.Anchors.Length >= intact);
            Assert.Equal(anchors[..intact], Log.Anchors[..intact].ToArray());
            for (int offset = 0; offset < Records.Count; offset++)
            {
                if (Correct(offset) is { Certainty: TimeCertainty.Corrected } corrected)
                    Assert.Equal(Records[offset].True, corrected.Timestamp);
            }

            // And it goes on: what is noted now is found again.
            if (round % 10 == 0)
            {
                Clock.Step(FakeClock.FiftyYears, synchronised: false);
                Log.Note(Records.Count);
                ClockAnchor[] noted = Log.Anchors.ToArray();
                Log = Open();
                Assert.Equal(noted, Log.Anchors.ToArray());
                Clock.Step(-FakeClock.FiftyYears, synchronised: false);
            }
        }
    }

    [Fact]
    public void Power_cut_costs_no_more_than_corrections()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("EDGESTREAM_FUZZ_SEED"), out int given) ? given : Random.Shared.Next();
        output.WriteLine($"EDGESTREAM_FUZZ_SEED={seed}");
        var random = new Random(seed);
        for (int boot = 0; boot < 40; boot++)
        {
            Write(random.Next(30));
            if (random.Next(2) == 0)
                Clock.Synchronise();

            Write(random.Next(90));
            if (random.Next(4) == 0)
                Clock.Step((random.Next(2) - 0.5) * 2 * FakeClock.FiftyYears, synchronised: false);

            Write(random.Next(30));

            // Anchors are lost, records are not: the end of the file was never synced.
            byte[] anchors = File.Exists(ClockFile) ? File.ReadAllBytes(ClockFile) : [];
            byte[] left = anchors[..random.Next(anchors.Length + 1)];
            if (random.Next(3) == 0)
                random.NextBytes(left.AsSpan(left.Length - random.Next(Math.Min(left.Length, 100) + 1)));

            File.WriteAllBytes(ClockFile, left);

            Reboot(Hour, 5000 + random.Next(20_000));
            for (int offset = 0; offset < Records.Count; offset++)
            {
                CorrectedTime time = Correct(offset);
                Assert.Equal(time.Certainty == TimeCertainty.Corrected ? Records[offset].True : Records[offset].Stored, time.Timestamp);
            }
        }
    }

    [Theory]
    [InlineData("create")]
    [InlineData("write")]
    public void What_could_not_be_written_is_known_and_written_when_there_is_room(string step)
    {
        File.Delete(ClockFile);
        if (step == "create")
            Files.BeforeCreate = _ => throw FaultyFiles.DiskFull();
        else
            Files.BeforeWrite = _ => throw FaultyFiles.DiskFull();

        Log = Open();
        Write(10);
        Clock.Synchronise();
        Write(10);
        AssertTimes(TimeCertainty.Corrected, 0, 10);

        int tries = 0;
        Action<string> count = _ => tries++;
        Files.BeforeCreate += count;
        Files.BeforeWrite += count;
        Write(30);
        Assert.Equal(0, tries); // not with each commit
        Files.BeforeCreate = Files.BeforeWrite = null;
        Write(60);
        Log = Open();
        AssertTimes(TimeCertainty.Corrected, 0, 10);
        AssertTimes(TimeCertainty.Right, 10, Records.Count);
    }

    [Fact]
    public void Directory_that_is_gone_is_no_error()
    {
        Directory.Delete(LogDirectory, recursive: true);
        Clock.Synchronise();
        Log.Note(5);
        Log.Forget(3);
        Assert.Equal(TimeCertainty.Right, Log.Correct(5, Clock.True).Certainty);
        Directory.CreateDirectory(LogDirectory);
    }

    /// <summary>A damaged copy, and how many anchors stand before the damage.</summary>
    private static (byte[] Damaged, int Intact) Damage(byte[] whole, int round, Random random)
    {
        byte[] damaged = [.. whole];
        int at = round <= whole.Length ? round : random.Next(whole.Length);
        switch (round <= whole.Length ? 0 : random.Next(5))
        {
            case 0: // each length, first of all
                damaged = whole[..at];
                break;
            case 1:
                damaged = [.. whole[..at], .. new byte[random.Next(5000)]];
                break;
            case 2:
                byte[] garbage = new byte[random.Next(200_000)];
                random.NextBytes(garbage);
                damaged = [.. whole[..at], .. garbage];
                break;
            case 3:
                if (at == whole.Length)
                    at--;

                damaged[at] ^= (byte)(1 << random.Next(8));
                break;
            default:
                at = whole.Length;
                damaged = [.. whole, .. new byte[1024 * 1024]];
                break;
        }

        return (damaged, Math.Max(0, at - HeaderSize) / ClockAnchor.Size);
    }
}
