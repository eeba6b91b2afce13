using EdgeStream.Cluster;
using EdgeStream.Cluster.Spu;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Storage.Time;

namespace EdgeStream.Agent.Hosting;

/// <summary>The node's disk: its budget, its clocks, what it is made to write, and the task that keeps it within its bounds.</summary>
internal sealed class NodeStorage : IAsyncDisposable
{
    private static readonly TimeSpan CleaningInterval = TimeSpan.FromMinutes(1);

    // Between two attempts to reach what is elsewhere.
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(15);

    // Thousands of partitions share a hub's disk; each grows as it needs.
    private const int HubPreallocateBytes = 256 * 1024;

    private readonly string _dataDirectory;
    private readonly MeteredFiles _files;
    private readonly AgeClock _age;
    private readonly WearMeter _wear = new(TimeProvider.System);
    private readonly CancellationTokenSource _stop = new();
    private Task _cleaning = Task.CompletedTask;
    private Task _reopening = Task.CompletedTask;
    private LocalSpu? _spu;
    private IClusterView? _cluster;
    private Func<Task>? _opened;
    private volatile string? _reopeningProblem;

    private NodeStorage(string dataDirectory, MeteredFiles files, DiskBudget budget)
    {
        _dataDirectory = dataDirectory;
        _files = files;
        _age = AgeClock.Open(files, dataDirectory, SystemClock.Instance);
        Resources = new LogResources { Budget = budget, AgeClock = () => _age.Now, Clock = SystemClock.Instance };
    }

    public IStorageFiles Files => _files;

    public LogResources Resources { get; }

    /// <summary>What a person should know of the clock, or of what is tried again, in one line; null where it is well.</summary>
    public string? Problem => _age.Problem ?? _reopeningProblem;

    /// <exception cref="EdgeStream.Storage.EdgeStreamException">The budget cannot be.</exception>
    public static NodeStorage Open(string dataDirectory, long? budget)
    {
        var files = new MeteredFiles(DiskFiles.Instance);
        return new NodeStorage(dataDirectory, files, new DiskBudget(StorageBudget.Resolve(dataDirectory, budget, files)));
    }

    public LogOptions LogOptions(bool isHub)
    {
        int segment = StorageBudget.SegmentBytes(Resources.Budget.Limit);
        return new LogOptions { SegmentBytes = segment, PreallocateBytes = isHub ? HubPreallocateBytes : segment };
    }

    /// <summary>Begins to clean, at once and then every minute, and to try again what could not be opened.</summary>
    /// <param name="spu">Has the partitions.</param>
    /// <param name="cluster">Their topology.</param>
    /// <param name="opened">Run when one could be opened after all.</param>
    public void Start(LocalSpu spu, IClusterView cluster, Func<Task> opened)
    {
        (_spu, _cluster, _opened) = (spu, cluster, opened);
        spu.Clean();
        _cleaning = Task.Run(CleanAsync);
        _reopening = Task.Run(ReopenAsync);
    }

    public StorageStatus Status()
    {
        long used = Resources.Budget.Used;
        long stored = StoredBytes();
        (TimeSpan? full, long perYear) = _wear.Forecast(Math.Max(0, Resources.Budget.Limit - used), used);
        return new StorageStatus
        {
            BudgetBytes = Resources.Budget.Limit,
            UsedBytes = used,
            DiskFreeBytes = StorageBudget.FreeBytes(_dataDirectory),
            WrittenBytes = WearMeter.WrittenBytes(),
            Syncs = _files.Syncs,
            StoredBytes = stored,
            FullInSeconds = (long)(full?.TotalSeconds ?? 0),
            WrittenBytesPerYear = perYear,
        };
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _cleaning.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _reopening.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _age.Save();
        _stop.Dispose();
    }

    private async Task CleanAsync()
    {
        using var timer = new PeriodicTimer(CleaningInterval);
        while (await timer.WaitForNextTickAsync(_stop.Token).ConfigureAwait(false))
        {
            _spu!.Clean();
            _age.SaveIfDue();
            _wear.Sample(Resources.Budget.Used);
        }
    }

    /// <summary>Tries again what is closed, soon at first and then less often, until it is open.</summary>
    private async Task ReopenAsync()
    {
        TimeSpan pause = _spu!.RetryAfter;
        while (true)
        {
            await Task.Delay(pause, _stop.Token).ConfigureAwait(false);
            bool tried = _spu.HasClosed;
            try
            {
                if (tried && await _spu.ReopenAsync(_cluster!.Current).ConfigureAwait(false))
                    await _opened!().ConfigureAwait(false);

                _reopeningProblem = null;
            }
            catch (Exception error) when (!_stop.IsCancellationRequested)
            {
                // Who gave up here would leave closed what is, until the next start.
                _reopeningProblem = $"closed partitions cannot be opened: {error.Message}; it is tried again by itself";
            }

            TimeSpan longer = pause * 2 < LongestRetry ? pause * 2 : pause > LongestRetry ? pause : LongestRetry;
            pause = tried && _spu.HasClosed ? longer : _spu.RetryAfter;
        }
    }

    private long StoredBytes() =>
        _spu?.Partitions.Where(partition => partition.IsOpen).Sum(partition => partition.Log.AppendedBytes) ?? 0;
}
