using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;
using EdgeStream.Testing;

namespace EdgeStream.Storage.Tests.Log;

/// <summary>
/// Random appends, disk faults and crashes against a model; the crash tests cut the power. What was acknowledged as durable, or was read, is
/// there for good at its offset; what was acknowledged as written survives a crash of the process. Each case prints its seed;
/// set EDGESTREAM_MODEL_SEED to repeat one, EDGESTREAM_MODEL_CASES for a longer run.
/// </summary>
public class PartitionLogModelTests(ITestOutputHelper output)
{
    private static readonly int Cases = int.Parse(Environment.GetEnvironmentVariable("EDGESTREAM_MODEL_CASES") ?? "20");

    [Fact]
    public async Task Nothing_that_was_acknowledged_is_lost_or_changed()
    {
        string? given = Environment.GetEnvironmentVariable("EDGESTREAM_MODEL_SEED");
        int first = given is null ? Random.Shared.Next(int.MaxValue - Cases) : int.Parse(given);
        output.WriteLine($"seeds from {first}");
        for (int seed = first; seed < first + (given is null ? Cases : 1); seed++)
        {
            try
            {
                await using var run = new Run(new Random(seed));
                await run.PlayAsync().InTimeAsync();
            }
            catch (Exception error)
            {
                Assert.Fail($"EDGESTREAM_MODEL_SEED={seed}: {error}");
            }
        }
    }

    private sealed class Run(Random random) : IAsyncDisposable
    {
        private readonly TempDirectory _temp = new();
        private readonly HashSet<string> _submitted = [];
        private readonly SortedDictionary<long, string> _durable = [];
        private readonly SortedDictionary<long, string> _written = [];
        private readonly LogOptions _options = new()
        {
            SegmentBytes = random.Next(400, 4000),
            IndexIntervalBytes = random.Next(1, 300),
            MaxPendingBytes = random.Next(100, 5000),
        };

        private FaultyFiles _files = new();
        private PartitionLog? _log;
        private int _generation;
        private int _next;

        public async Task PlayAsync()
        {
            _log = Open(_temp.Sub("log-0"));
            for (int step = 0; step < 40; step++)
            {
                switch (random.Next(12))
                {
                    case 0:
                        FailOneIn(random.Next(1, 6), FaultyFiles.DiskFull);
                        break;
                    case 1 when random.Next(4) == 0:
                        FailOneIn(random.Next(1, 10), FaultyFiles.DiskBroken);
                        break;
                    case 2 or 3:
                        _files.BeforeWrite = _files.BeforeCreate = _files.BeforeSync = null;
                        break;
                    case 4:
                        await ReopenAsync(crash: false);
                        break;
                    case 5:
                        await ReopenAsync(crash: true);
                        break;
                    case 7:
                        Remember();
                        break;
                    default:
                        await AppendSomeAsync();
                        break;
                }
            }

            await ReopenAsync(crash: false);
        }

        public async ValueTask DisposeAsync()
        {
            if (_log is not null)
                await _log.DisposeAsync();

            _temp.Dispose();
        }

        private PartitionLog Open(string directory) => PartitionLog.Open(
            directory, () => PartitionManifest.CreateNew("readings", 0, new Dictionary<string, string>()), _options, _files,
            new LogSettings { Overflow = OverflowPolicy.Reject });

        private void FailOneIn(int count, Func<IOException> error)
        {
            var faults = new Random(random.Next());
            Action<string> hook = _ =>
            {
                lock (faults)
                {
                    if (faults.Next(count) == 0)
                        throw error();
                }
            };
            if (error == FaultyFiles.DiskFull)
                _files.BeforeWrite = _files.BeforeCreate = hook;
            else
                _files.BeforeSync = hook;
        }

        private async Task AppendSomeAsync()
        {
            var appends = new List<(string[] Values, AckLevel Ack, Task<AppendedRange> Append)>();
            for (int i = random.Next(1, 15); i > 0; i--)
            {
                string[] values = [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => $"{_next++} {new string('x', random.Next(200))}")];
                AckLevel ack = random.Next(2) == 0 ? AckLevel.Durable : AckLevel.Written;
                int split = random.Next(values.Length);
                byte[] batches = split == 0 ? Batches.Of(values) : [.. Batches.Of(values[..split]), .. Batches.Of(values[split..])];
                _submitted.UnionWith(values);
                appends.Add((values, ack, Task.Run(() => _log!.AppendAsync(batches, ack).AsTask())));
            }

            foreach ((string[] values, AckLevel ack, Task<AppendedRange> append) in appends)
            {
                AppendedRange range;
                try
                {
                    range = await append;
                }
                catch (Exception refused) when (refused is StorageFullException or LogFailedException)
                {
                    continue;
                }

                Assert.Equal(values.Length, range.LastOffset - range.BaseOffset + 1);
                for (int i = 0; i < values.Length; i++)
                    (ack == AckLevel.Durable ? _durable : _written).Add(range.BaseOffset + i, values[i]);
            }
        }

        /// <summary>What a reader has seen must stay, whatever was acknowledged.</summary>
        private void Remember()
        {
            List<string> values = Batches.ReadValues(_log!, maxBytes: random.Next(3000));
            for (int i = 0; i < values.Count; i++)
                _durable[i] = values[i];
        }

        private async Task ReopenAsync(bool crash)
        {
            Remember();
            string directory = _log!.Directory;
            bool failed = _log.Failure is not null;
            string copy = _temp.Sub($"log-{++_generation}");
            if (crash)
                _files.CopyAfterCrash(directory, copy);

            await _log.DisposeAsync();
            bool writtenStays = !failed && _log.Failure is null;
            _files = new FaultyFiles();
            _log = Open(crash ? copy : directory);
            Check(writtenStays);
        }

        private void Check(bool writtenStays)
        {
            List<string> values = Batches.ReadValues(_log!);
            Assert.Equal(values.Count, _log!.Offsets.End);
            Assert.Empty(values.Except(_submitted));
            Assert.Equal(values.Count, values.Distinct().Count());
            foreach ((long offset, string value) in writtenStays ? _durable.Concat(_written) : _durable)
                Assert.Equal(value, values[(int)offset]);

            // What is there after a restart was made durable by it.
            _written.Clear();
            for (int i = 0; i < values.Count; i++)
                _durable[i] = values[i];
        }
    }
}
