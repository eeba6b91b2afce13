using System.CommandLine;
using System.Text;
using EdgeStream.Agent.Configuration;
using EdgeStream.Client;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Cli;

/// <summary><c>produce TOPIC</c>: a record a line.</summary>
internal static class ProduceCommand
{
    public static Command Create()
    {
        var topic = new Argument<string>("topic");
        Option<int?> partition = new Option<int?>("--partition", "-p")
        {
            Description = "Which partition (default: all, by each record's key; without a key in turn)",
        }.AtLeast(0);
        var geo = new Option<string[]>("--geo")
        {
            Description = "At a hub, of a topic that flows down: to this geo-location; can be given again",
            HelpName = "name",
        };
        var allGeos = new Option<bool>("--all-geos") { Description = "At a hub, of a topic that flows down: to each geo-location" };
        var timeToLive = new Option<string?>("--ttl")
        {
            Description = "Of a topic that flows down: how long the records count, for instance 30s (default: as the topic says)",
            HelpName = "time",
        };
        var separator = new Option<string?>("--key-separator") { Description = "What stands between key and value in a line", HelpName = "text" };
        var file = new Option<string?>("--file", "-f") { Description = "Read lines from a file instead of standard input", HelpName = "path" };
        var ack = new Option<string>("--ack") { Description = "When a record counts as stored", DefaultValueFactory = _ => "durable" };
        ack.AcceptOnlyFromAmong("written", "durable", "mirrored");
        var command = new CliCommand(
            "produce",
            "Append a record for each line of standard input",
            "echo 'kitchen:21.5' | edgestream produce readings --key-separator :\necho on | edgestream produce commands --geo berlin-7 --ttl 30s")
        {
            Arguments = { topic },
            Options = { partition, geo, allGeos, timeToLive, separator, file, ack },
        };
        command.Does(async (result, cancellationToken) =>
        {
            string topicName = Names.CheckTopic(result.GetValue(topic));
            using var client = ConnectionOptions.Open(result);
            using TextReader lines = Open(result.GetValue(file));
            var format = new LineFormat(result.GetValue(separator), HeadersOf(result.GetValue(timeToLive)));
            IReadOnlyList<int>? chosen = await GeoPartitions.ChooseAsync(
                client, topicName, result.GetValue(geo) ?? [], result.GetValue(allGeos), result.GetValue(partition));
            var problems = new RepeatedProblems(result.InvocationConfiguration.Error, TimeProvider.System);
            Ack meaning = Enum.Parse<Ack>(result.GetValue(ack)!, ignoreCase: true);
            await using IDestination destination = chosen is null
                ? new ByKey(await client.ProduceByKeyAsync(topicName, meaning, interrupted: problems.Tell))
                : await EachOf.OpenAsync(chosen, number => client.ProduceAsync(topicName, number, meaning, interrupted: problems.Tell));
            (long count, long last) = await ProduceAsync(destination, lines, format, cancellationToken);
            result.InvocationConfiguration.Error.WriteLine(
                count == 0 ? "nothing to store" : $"{count} record{(count == 1 ? "" : "s")} stored{destination.Describe(last)}");
        });
        return command;
    }

    /// <summary>What becomes of a line: where its key ends, and the headers that each record gets.</summary>
    private sealed record LineFormat(string? Separator, IReadOnlyList<RecordHeader> Headers)
    {
        public Record ToRecord(string line)
        {
            long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            int at = string.IsNullOrEmpty(Separator) ? -1 : line.IndexOf(Separator, StringComparison.Ordinal);
            return at < 0
                ? new Record(0, now, Key: null, new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line)), Headers)
                : new Record(
                    0,
                    now,
                    new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line[..at])),
                    new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line[(at + Separator!.Length)..])),
                    Headers);
        }
    }

    /// <summary>Where the records go; disposed when all of them are acknowledged.</summary>
    private interface IDestination : IAsyncDisposable
    {
        /// <summary>Gives a record its place; its acknowledgements come to those that are awaited.</summary>
        ValueTask SendAsync(Record record, Queue<Task<long>> acknowledgements, CancellationToken cancellationToken);

        /// <summary>What stands behind "3 records stored".</summary>
        string Describe(long lastOffset);
    }

    /// <summary>Each record to each of the partitions that were chosen.</summary>
    private sealed class EachOf : IDestination
    {
        private readonly List<Producer> _producers = [];

        public static async Task<IDestination> OpenAsync(IReadOnlyList<int> partitions, Func<int, Task<Producer>> open)
        {
            var all = new EachOf();
            try
            {
                foreach (int partition in partitions)
                    all._producers.Add(await open(partition));

                return all;
            }
            catch
            {
                await all.DisposeAsync();
                throw;
            }
        }

        public async ValueTask SendAsync(Record record, Queue<Task<long>> acknowledgements, CancellationToken cancellationToken)
        {
            foreach (Producer producer in _producers)
                acknowledgements.Enqueue(await producer.SendAsync(record, cancellationToken));
        }

        public string Describe(long lastOffset) =>
            _producers.Count == 1 ? $", the last at offset {lastOffset}" : $" in each of {_producers.Count} partitions";

        public async ValueTask DisposeAsync()
        {
            foreach (Producer producer in _producers)
                await producer.DisposeAsync();
        }
    }

    /// <summary>Each record to the partition of its key.</summary>
    private sealed class ByKey(PartitionedProducer producer) : IDestination
    {
        private readonly HashSet<int> _used = [];

        public async ValueTask SendAsync(Record record, Queue<Task<long>> acknowledgements, CancellationToken cancellationToken)
        {
            SentRecord sent = await producer.SendAsync(record, cancellationToken);
            _used.Add(sent.Partition);
            acknowledgements.Enqueue(sent.Offset);
        }

        public string Describe(long lastOffset) => $" in {_used.Count} of {Plural.Of(producer.Count, "partition")}";

        public ValueTask DisposeAsync() => producer.DisposeAsync();
    }

    private static IReadOnlyList<RecordHeader> HeadersOf(string? timeToLive)
    {
        if (timeToLive is null)
            return [];

        return Quantities.TryParseTime(timeToLive, out _)
            ? [new RecordHeader(RecordExpiry.HeaderName, new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(timeToLive)))]
            : throw new CommandException($"--ttl '{timeToLive}' is no time; write for instance 30s or 10m");
    }

    private static async Task<(long Count, long LastOffset)> ProduceAsync(
        IDestination destination, TextReader lines, LineFormat format, CancellationToken cancellationToken)
    {
        // Enough to keep the streams full; each is waited for, so that an error is never missed.
        const int MaxUnacknowledged = 10_000;
        var unacknowledged = new Queue<Task<long>>();
        long count = 0, last = -1;
        while (await lines.ReadLineAsync(cancellationToken) is { } line)
        {
            await destination.SendAsync(format.ToRecord(line), unacknowledged, cancellationToken);
            count++;
            while (unacknowledged.Count > MaxUnacknowledged || (unacknowledged.TryPeek(out Task<long>? first) && first.IsCompleted))
                last = await unacknowledged.Dequeue();
        }

        while (unacknowledged.TryDequeue(out Task<long>? next))
            last = await next;

        return (count, last);
    }

    private static TextReader Open(string? path)
    {
        try
        {
            return path is null ? Console.In : new StreamReader(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"'{path}' cannot be read: {error.Message}");
        }
    }
}
