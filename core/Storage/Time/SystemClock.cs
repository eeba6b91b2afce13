using System.Runtime.InteropServices;

namespace EdgeStream.Storage.Time;

/// <summary>The clocks of this machine (64-bit Linux).</summary>
/// <remarks>
/// The wall clock counts as synchronised when the kernel says so (adjtimex(2)), or systemd-timesyncd has said so in this boot:
/// the kernel takes its word back after some hours without a time server, though a clock that was right once is still good to
/// seconds. A wall clock before <see cref="EarliestSynchronised"/> is never right, whoever says so.
/// </remarks>
public sealed partial class SystemClock : IClockSource
{
    // 2025-01-01T00:00:00Z: this program is younger.
    private const long EarliestSynchronised = 1_735_689_600_000;
    private const string BootIdPath = "/proc/sys/kernel/random/boot_id";

    // Between the two readings of the monotonic clock around one of the wall clock. More means that the thread was put aside.
    private const long MostBetweenReadings = 5;
    private const int Attempts = 20;

    private const int Realtime = 0; // CLOCK_REALTIME
    private const int BootTime = 7; // CLOCK_BOOTTIME: goes on while the machine is suspended, as CLOCK_MONOTONIC does not
    private const int TimeError = 5; // TIME_ERROR
    private const int Unsynchronised = 0x40; // STA_UNSYNC
    private const int Readable = 4; // R_OK

    private readonly Guid _bootId = ReadBootId();

    private SystemClock()
    {
    }

    public static SystemClock Instance { get; } = new();

    public long Monotonic => Milliseconds(BootTime);

    public ClockReading Read()
    {
        // A thread that is put aside between the two would see a step of the clock where there is none.
        long before, wall, after;
        int attempt = 0;
        do
        {
            before = Milliseconds(BootTime);
            wall = Milliseconds(Realtime);
            after = Milliseconds(BootTime);
        }
        while (after - before > MostBetweenReadings && ++attempt < Attempts);

        bool synchronised = wall >= EarliestSynchronised && (KernelIsSynchronised() || TimeSyncHasSynchronised());
        return new ClockReading(_bootId, before, wall, synchronised);
    }

    private static Guid ReadBootId()
    {
        try
        {
            if (Guid.TryParse(File.ReadAllText(BootIdPath), out Guid bootId))
                return bootId;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // No /proc. Then each start of the process counts as a boot: less can be told, and nothing wrong.
        }

        return Guid.NewGuid();
    }

    private static unsafe long Milliseconds(int clock)
    {
        TimeSpec time;
        return ClockGetTime(clock, &time) == 0
            ? (time.Seconds * 1000) + (time.Nanoseconds / 1_000_000)
            : throw new PlatformNotSupportedException($"clock_gettime({clock}) failed; EdgeStream needs Linux 2.6.39 or later");
    }

    private static unsafe bool KernelIsSynchronised()
    {
        Timex timex = default; // modes 0: change nothing
        int state = AdjTimex(&timex);
        return state is >= 0 and not TimeError && (timex.Status & Unsynchronised) == 0;
    }

    private static unsafe bool TimeSyncHasSynchronised()
    {
        // A literal and access(2) rather than File.Exists, which allocates.
        fixed (byte* path = "/run/systemd/timesync/synchronized\0"u8)
            return Access(path, Readable) == 0;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static unsafe partial int ClockGetTime(int clock, TimeSpec* time);

    [LibraryImport("libc", EntryPoint = "adjtimex")]
    private static unsafe partial int AdjTimex(Timex* timex);

    [LibraryImport("libc", EntryPoint = "access")]
    private static unsafe partial int Access(byte* path, int mode);

    // struct timespec
    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    // struct timex: 208 bytes; only `status` is of interest.
    [StructLayout(LayoutKind.Explicit, Size = 208)]
    private struct Timex
    {
        [FieldOffset(40)]
        public int Status;
    }
}
