using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>A log in a directory of its own, with segments so small that a few batches fill one.</summary>
public abstract class LogTestBase : IAsyncDisposable
{
    protected static readonly LogOptions TinySegments = new() { SegmentBytes = 400, PreallocateBytes = 400, IndexIntervalBytes = 100 };

    protected static readonly LogSettings Rejecting = new() { Overflow = OverflowPolicy.Reject };

    private readonly List<PartitionLog> _opened = [];

    protected TempDirectory Temp { get; } = new();

    protected FaultyFiles Files { get; } = new();

    protected string LogDirectory => Temp.Sub("log");

    public async ValueTask DisposeAsync()
    {
        foreach (PartitionLog log in _opened)
            await log.DisposeAsync().InTimeAsync();

        Temp.Dispose();
    }

    protected PartitionLog Open(LogOptions? options = null, string? directory = null, IStorageFiles? files = null, LogSettings? settings = null)
    {
        PartitionLog log = PartitionLog.Open(
            directory ?? LogDirectory, () => PartitionManifest.CreateNew("readings", 0, new Dictionary<string, string>()),
            options ?? TinySegments, files ?? Files, settings ?? Rejecting);
        return Opened(log);
    }

    /// <summary>Closes a log when the test ends, before its directory goes.</summary>
    protected PartitionLog Opened(PartitionLog log)
    {
        _opened.Add(log);
        return log;
    }

    /// <summary>Appends batches of one to four records, so that offsets fall inside batches, and returns all values.</summary>
    protected static async Task<List<string>> FillAsync(PartitionLog log, int batches, int from = 0)
    {
        var values = new List<string>();
        for (int i = from; i < from + batches; i++)
        {
            string[] batch = [.. Enumerable.Range(0, 1 + (i % 4)).Select(n => $"value {i}.{n}")];
            await log.AppendAsync(Batches.Of(batch), AckLevel.Durable).InTimeAsync();
            values.AddRange(batch);
        }

        return values;
    }

    protected static string[] SegmentsIn(string directory) => [.. Directory.GetFiles(directory, "*.log").Order(StringComparer.Ordinal)];

    protected static Exception Failure(Task task) => task.Exception!.InnerException!;
}
