using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Sysfs;

/// <summary>
/// Records what sensors say through files of the kernel: IIO, hwmon, thermal zones, 1-wire. A record's value is JSON,
/// <c>{"value":21.5,"unit":"C"}</c>. A file that cannot be read is counted, told and a <see cref="Shortfall"/>, and the others go on;
/// where none can be, the source waits until one is back.
/// </summary>
/// <param name="options">The files.</param>
/// <param name="sink">Where the records go.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told which files cannot be read, and which are back.</param>
public sealed class SysfsSource(SysfsOptions options, IRecordSink sink, TimeProvider time, ILogger<SysfsSource> logger) : ISource
{
    // How long what was read before a stop may take to be stored.
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(5);

    private readonly FilePattern _pattern = new(options.Validated().Path);
    private readonly JsonEncodedText? _unit = options.Unit is null ? null : JsonEncodedText.Encode(options.Unit, JavaScriptEncoder.UnsafeRelaxedJsonEscaping);

    // All that were ever there: one that is missing has to be noticed, also behind a wildcard.
    private readonly SortedDictionary<string, KnownFile> _files = new(StringComparer.Ordinal);

    private volatile Shortfall? _shortfall;

    private sealed class KnownFile(string path, SysfsOptions options)
    {
        public string Path => path;

        public byte[] Key { get; } = Encoding.UTF8.GetBytes(options.Key ?? path);

        public ChangeFilter Filter { get; } = new(options.Change, options.AtLeastEvery);

        /// <summary>Why it could not be read the last time; null where it could.</summary>
        public string? Problem { get; set; }
    }

    public string Name { get; } = $"sysfs {options.Path}";

    public SourceCounters Counters { get; } = new(time);

    public Shortfall? Shortfall => _shortfall;

    /// <summary>What would keep a source from reading its files now, in one line each; none where all can be read.</summary>
    public static IReadOnlyList<string> FindProblems(SysfsOptions options)
    {
        IReadOnlyList<string> files = new FilePattern(options.Path).Files();
        return files.Count == 0
            ? [NoFile(options)]
            : [.. files.Select(file => SensorFile.TryRead(file, options, out _, out _, out string problem) ? null : problem).OfType<string>()];
    }

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        using var drained = new CancellationTokenSource();
        using CancellationTokenRegistration stopped = cancellationToken.Register(() => drained.CancelAfter(DrainTime));
        using var timer = new PeriodicTimer(options.Every, time);
        bool told = false;
        try
        {
            do
            {
                await ReadAllAsync(drained.Token, cancellationToken).ConfigureAwait(false);
                if (!told)
                    running();

                told = true;
            }
            while (await timer.WaitForNextTickAsync(cancellationToken).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // Told to stop.
        }
    }

    /// <exception cref="IOException">Not a single file can be read.</exception>
    private async Task ReadAllAsync(CancellationToken drained, CancellationToken cancellationToken)
    {
        foreach (string path in _pattern.Files())
            _files.TryAdd(path, new KnownFile(path, options));

        if (_files.Count == 0)
            throw new IOException(NoFile(options));

        foreach (KnownFile file in _files.Values)
        {
            // A sensor on a slow bus takes its time, and a bus that hangs all of it: a stop must not wait for that.
            decimal? value = await Task.Run(() => TryRead(file), CancellationToken.None).WaitAsync(cancellationToken).ConfigureAwait(false);
            if (value is { } read)
                await StoreAsync(file, read, drained).ConfigureAwait(false);
        }

        string[] problems = [.. _files.Values.Select(file => file.Problem).OfType<string>()];
        if (problems.Length == _files.Count)
            throw new IOException(problems[0]);

        _shortfall = problems.Length == 0 ? null : new Shortfall($"{_files.Count - problems.Length} of {_files.Count} files", problems);
    }

    private static string NoFile(SysfsOptions options) => $"no file is called '{options.Path}'; is the sensor plugged in and its driver loaded?";

    private decimal? TryRead(KnownFile file)
    {
        bool isGood = SensorFile.TryRead(file.Path, options, out decimal value, out DropReason reason, out string problem);
        Counters.AddReceived();
        if (isGood)
        {
            if (file.Problem is not null)
                logger.LogInformation("{Name}: '{File}' can be read again", Name, file.Path);

            file.Problem = null;
            return value;
        }

        // Told once, counted each time.
        if (file.Problem != problem)
            logger.LogWarning("{Name}: {Problem}", Name, problem);

        file.Problem = problem;
        Counters.AddDropped(reason, problem);
        return null;
    }

    private async Task StoreAsync(KnownFile file, decimal value, CancellationToken cancellationToken)
    {
        TimeSpan now = time.GetElapsedTime(0);
        if (!file.Filter.Passes(value, now))
            return;

        // Without the zeros behind the point, which decimal keeps: 21.500 is 21.5.
        string number = (value / 1.0000000000000000000000000000m).ToString(CultureInfo.InvariantCulture);
        string text = _unit is { } unit ? $$"""{"value":{{number}},"unit":"{{unit}}"}""" : $$"""{"value":{{number}}}""";
        try
        {
            var record = new SourceRecord(options.Topic, new ReadOnlyMemory<byte>(file.Key), Encoding.UTF8.GetBytes(text), time.GetUtcNow(), []);
            await sink.AppendAsync(record, cancellationToken).ConfigureAwait(false);
            Counters.AddStored();
            file.Filter.Recorded(value, now);
        }
        catch (RecordRejectedException rejected)
        {
            Counters.AddDropped(rejected.Reason, rejected.Message);
        }
    }
}
