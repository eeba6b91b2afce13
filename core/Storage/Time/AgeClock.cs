using EdgeStream.Storage.Files;

namespace EdgeStream.Storage.Time;

/// <summary>
/// A node's clock for retention by age: it never goes back, and setting the wall clock does not move it. It may run late, never
/// early, so data may be kept longer than they were to be, never shorter. Safe from any thread.
/// </summary>
/// <remarks>
/// <para>
/// It runs with the monotonic clock. The time in which the machine was off is added once in each boot, when the wall clock is first
/// found synchronised: as much as the wall clock has gained on this one since it was last synchronised before. Less than nothing is
/// taken for nothing. More than can be (400 days, unless told otherwise) is not believed, adds nothing and is a
/// <see cref="Problem"/>.
/// </para>
/// <para>
/// Kept in DATA/clock (<see cref="AgeState"/>), replaced as a whole and synced. When the power fails, the running time since the last
/// save is lost until the wall clock is synchronised again. When the file is lost, the clock starts at 0: what was stamped with more
/// counts as new (<see cref="AgeOf"/>) until the clock has got there again.
/// </para>
/// </remarks>
public sealed class AgeClock
{
    /// <summary>Its file in the data directory.</summary>
    public const string FileName = "clock";

    private const long SaveInterval = 10 * 60_000;
    private static readonly TimeSpan DefaultLongestOff = TimeSpan.FromDays(400);

    private readonly IStorageFiles _files;
    private readonly string _path;
    private readonly IClockSource _clock;
    private readonly long _longestOff;

    // Guards all below. Syncing under it holds up who asks for the time, which nothing fast does.
    private readonly Lock _lock = new();

    // The clock showed _age when the monotonic one showed _since.
    private long _age;
    private long _since;
    private bool _isSettled;
    private long? _origin;
    private long? _savedAt;
    private string? _clockProblem;
    private string? _fileProblem;

    private AgeClock(IStorageFiles files, string path, IClockSource clock, long longestOff)
    {
        _files = files;
        _path = path;
        _clock = clock;
        _longestOff = longestOff;
    }

    /// <summary>The age clock's time in ms; what is stored now is stamped with it. Never less than before.</summary>
    public long Now
    {
        get
        {
            lock (_lock)
                return Advance(_clock.Read());
        }
    }

    /// <summary>What is wrong, in one line for a person; null where nothing is.</summary>
    public string? Problem
    {
        get
        {
            lock (_lock)
                return _fileProblem ?? _clockProblem;
        }
    }

    /// <summary>Goes on where the file says; begins at 0 where there is none that can be read. Raises no error of the disk.</summary>
    /// <param name="files">The file system.</param>
    /// <param name="dataDirectory">The node's data directory, which exists.</param>
    /// <param name="clock">The machine's clocks.</param>
    /// <param name="longestOff">The longest time in which the machine may have been off; 400 days where it is null.</param>
    public static AgeClock Open(IStorageFiles files, string dataDirectory, IClockSource clock, TimeSpan? longestOff = null)
    {
        string path = Path.Combine(dataDirectory, FileName);
        var age = new AgeClock(files, path, clock, (long)(longestOff ?? DefaultLongestOff).TotalMilliseconds);
        age.Restore(age.TryRead());
        return age;
    }

    /// <summary>How old something is that was stamped with <see cref="Now"/>. Stamps that this clock cannot have given are new.</summary>
    /// <param name="stamp">In ms.</param>
    public TimeSpan AgeOf(long stamp)
    {
        long now = Now;
        return stamp < 0 || stamp >= now ? TimeSpan.Zero : TimeSpan.FromMilliseconds(now - stamp);
    }

    /// <summary>Saves if that was not done for ten minutes. To be called every minute or so, by one that may wait for the disk.</summary>
    public void SaveIfDue()
    {
        long monotonic = _clock.Monotonic;
        lock (_lock)
        {
            if (_savedAt is { } savedAt && monotonic - savedAt < SaveInterval)
                return;
        }

        Save();
    }

    /// <summary>Saves now; to be called at close. What the disk says against it is a <see cref="Problem"/> until it has worked.</summary>
    public void Save()
    {
        lock (_lock)
        {
            ClockReading reading = _clock.Read();
            long age = Advance(reading);

            // A clock that was set in the midst of a boot was wrong before or is wrong now. The later origin makes the time off
            // shorter, so that one is taken; in the next boot the clock may know better.
            if (_isSettled && reading.Synchronised)
                _origin = Math.Max(_origin ?? long.MinValue, reading.Wall - age);

            // Tried is as good as done here: a full disk is not to be asked more often.
            _savedAt = reading.Monotonic;
            try
            {
                SmallFile.Replace(_files, _path, new AgeState(age, reading.BootId, reading.Monotonic, _isSettled, _origin).ToBytes());
                _fileProblem = null;
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                _fileProblem = $"cannot save '{_path}', so records may be kept longer than their retention says: {error.Message}";
            }
        }
    }

    private byte[]? TryRead()
    {
        try
        {
            return SmallFile.TryRead(_files, _path) ?? (_files.FileExists(_path) ? [] : null);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }

    private void Restore(byte[]? contents)
    {
        ClockReading reading = _clock.Read();
        _since = reading.Monotonic;
        if (contents is null)
            return;

        if (AgeState.TryParse(contents) is not { } saved)
        {
            _clockProblem = $"'{_path}' is damaged; retention by age begins anew, so records may be kept longer than it says";
            return;
        }

        _age = saved.Age;
        _origin = saved.Origin;
        if (reading.Continues(new ClockReading(saved.BootId, saved.Monotonic, 0, false)))
        {
            _age += reading.Monotonic - saved.Monotonic;
            _isSettled = saved.IsSettled;
        }
    }

    private long Advance(in ClockReading reading)
    {
        _age += reading.Monotonic - _since;
        _since = reading.Monotonic;
        if (!_isSettled && reading.Synchronised)
            Settle(reading.Wall);

        return _age;
    }

    /// <summary>Adds the time in which the machine was off, all boots included in which the clock was never right.</summary>
    private void Settle(long wall)
    {
        _isSettled = true;
        _savedAt = null; // worth saving soon: a process that is killed would have to trust the clock once more
        if (_origin is { } origin)
        {
            long off = wall - origin - _age;
            if (off > _longestOff)
            {
                _clockProblem = $"the clock says that this machine was off for {off / 86_400_000} days, which is not believed; "
                    + "records may be kept longer than their retention says";
            }
            else if (off > 0)
            {
                _age += off;
            }
        }

        _origin = wall - _age;
    }
}
