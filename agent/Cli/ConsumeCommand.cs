using System.CommandLine;
using System.Text;
using System.Text.Json;
using EdgeStream.Agent.Configuration;
using EdgeStream.Client;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Time;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Cli;

/// <summary><c>consume TOPIC</c>: a line a record.</summary>
internal static class ConsumeCommand
{
    private static readonly Encoding StrictUtf8 = new UTF8Encoding(false, throwOnInvalidBytes: true);

    private static readonly Argument<string> Topic = new("topic");
    private static readonly Option<string?> Group = new("--group", "-g")
    {
        Description = "Read all partitions as a member of this consumer group, which goes on where it was; a new one begins at the end, or with -B",
        HelpName = "name",
    };

    private static readonly Option<int?> PartitionNumber = new Option<int?>("--partition", "-p")
    {
        Description = "Which partition (default: all, with the number of each record's partition in front)",
    }.AtLeast(0);

    private static readonly Option<string?> Geo = new("--geo") { Description = "At a hub: the partition of this geo-location", HelpName = "name" };
    private static readonly Option<bool> Beginning = new("--beginning", "-B") { Description = "From the first record held" };
    private static readonly Option<long?> Offset = new Option<long?>("--offset")
    {
        Description = "From this offset, of one partition; -5 stands for the last five, of each",
        HelpName = "n",
    }.OfNumber();

    private static readonly Option<string?> Since = new("--since") { Description = "From so long ago, for instance 10m", HelpName = "time" };
    private static readonly Option<long?> Count = new Option<long?>("-n") { Description = "Stop after so many records", HelpName = "count" }.AtLeast(0);
    private static readonly Option<bool> StopAtEnd = new("-d") { Description = "Stop at the end instead of waiting for more" };
    private static readonly Option<bool> Expired = new("--expired")
    {
        Description = "At an edge, of what flows down from the hub: also what has expired",
    };

    private static readonly Option<bool> ShowKey = new("--show-key", "-k") { Description = "Print 'key<tab>value'" };
    private static readonly Option<bool> ShowTime = new("--show-time", "-t")
    {
        Description = "Print 'time<tab>' in front; '?' behind the time where the clock was perhaps not set",
    };

    private static readonly Option<string> Format = CreateFormat();

    public static Command Create()
    {
        var command = new CliCommand(
            "consume",
            "Print the records of a topic, and go on as they come",
            "edgestream consume readings -B -n 10 -o json\nedgestream consume readings --geo berlin-7 -B -d\nedgestream consume readings --group billing -B")
        {
            Arguments = { Topic },
            Options = { Group, PartitionNumber, Geo, Beginning, Offset, Since, Count, StopAtEnd, Expired, ShowTime, ShowKey, Format },
        };
        command.Does(ConsumeAsync);
        return command;
    }

    private static async Task ConsumeAsync(ParseResult result, CancellationToken cancellationToken)
    {
        if (result.GetValue(Count) is <= 0)
            return;

        using var client = ConnectionOptions.Open(result);
        if (result.GetValue(Group) is { } group)
        {
            await ConsumeAsMemberAsync(result, client, Names.CheckGroup(group), cancellationToken);
            return;
        }

        ConsumeRequest request = Request(result);
        int? partition = result.GetValue(Geo) is { } geo
            ? await GeoPartitions.FindAsync(client, request.Topic, Names.CheckGeoLocation(geo))
            : result.GetValue(PartitionNumber);
        if (partition is null && await GeoPartitions.FindTopicAsync(client, request.Topic) is var topic && GeoPartitions.HasSeveral(topic))
        {
            await ConsumeAllAsync(result, client, request, topic.Partitions.Count, cancellationToken);
            return;
        }

        request.Partition = partition ?? 0;
        using Consumer consumer = await client.ConsumeAsync(
            request, result.GetValue(Expired), gap => Note(result, gap, showPartition: false),
            interrupted: TellingProblems(result));
        await PrintAsync(result, ReadAsync());

        async IAsyncEnumerable<string> ReadAsync()
        {
            await foreach (Record record in consumer.ReadAsync(cancellationToken))
                yield return ToLine(result, record, consumer.TimeOf(record));
        }
    }

    private static async Task ConsumeAllAsync(
        ParseResult result, EdgeStreamClient client, ConsumeRequest request, int partitions, CancellationToken cancellationToken)
    {
        if (request.HasOffset)
            throw new CommandException($"--offset {request.Offset} is in one partition, and '{request.Topic}' has {partitions}; say with -p in which");

        await using MergedConsumer consumer = await client.ConsumeAllAsync(
            request, gap => Note(result, gap, showPartition: true),
            interrupted: TellingProblems(result));
        await PrintAsync(result, ReadAsync());

        async IAsyncEnumerable<string> ReadAsync()
        {
            await foreach (GroupRecord given in consumer.ReadAsync(cancellationToken))
                yield return ToLine(result, given.Record, given.Time, given.Partition);
        }
    }

    /// <summary>What is printed is committed, at least once a second and in the end.</summary>
    private static async Task ConsumeAsMemberAsync(ParseResult result, EdgeStreamClient client, string group, CancellationToken cancellationToken)
    {
        Option[] alone = [PartitionNumber, Geo, Offset, Since, Expired];
        if (alone.FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } other)
            throw new CommandException($"--group reads all partitions from where the group is; leave {other.Name} out ('edgestream consumer reset' sets where it is)");

        await using GroupConsumer consumer = client.JoinGroup(new GroupOptions(group, Names.CheckTopic(result.GetValue(Topic)))
        {
            FromEnd = !result.GetValue(Beginning),
            StopAtEnd = result.GetValue(StopAtEnd),
            GapSeen = gap => Note(result, gap, showPartition: true),
            Interrupted = TellingProblems(result),
        });
        await PrintAsync(result, ReadAsync());
        await consumer.CommitAsync(CancellationToken.None);

        async IAsyncEnumerable<string> ReadAsync()
        {
            await foreach (GroupRecord given in consumer.ReadAsync(cancellationToken))
                yield return ToLine(result, given.Record, given.Time, IsJson(result) ? given.Partition : null);
        }
    }

    /// <summary>Until as many are printed as were asked for, or there are no more, or somebody ends it.</summary>
    private static async Task PrintAsync(ParseResult result, IAsyncEnumerable<string> lines)
    {
        TextWriter output = result.InvocationConfiguration.Output;
        long remaining = result.GetValue(Count) ?? long.MaxValue;
        try
        {
            await foreach (string line in lines)
            {
                await output.WriteLineAsync(line);
                if (--remaining == 0)
                    break;
            }
        }
        catch (OperationCanceledException)
        {
            // Ctrl-C is how one ends it.
        }

        await output.FlushAsync(CancellationToken.None);
    }

    private static Action<string> TellingProblems(ParseResult result) =>
        new RepeatedProblems(result.InvocationConfiguration.Error, TimeProvider.System).Tell;

    private static void Note(ParseResult result, Gap gap, bool showPartition)
    {
        if (IsJson(result))
            result.InvocationConfiguration.Output.WriteLine(ToJson(gap, showPartition));
        else
            result.InvocationConfiguration.Error.WriteLine(ToText(gap));
    }

    private static bool IsJson(ParseResult result) => result.GetValue(Format) == "json";

    /// <param name="result">What was asked for.</param>
    /// <param name="record">What to print.</param>
    /// <param name="time">When it was made.</param>
    /// <param name="partition">Where it lies; null where that is not to be shown.</param>
    private static string ToLine(ParseResult result, Record record, CorrectedTime time, int? partition = null) => IsJson(result)
        ? ToJson(record, time, partition)
        : (partition is { } number ? $"{number}\t" : "") + (result.GetValue(ShowTime) ? ToText(time) + '\t' : "") + ToText(record, result.GetValue(ShowKey));

    private static ConsumeRequest Request(ParseResult result)
    {
        var request = new ConsumeRequest
        {
            Topic = Names.CheckTopic(result.GetValue(Topic)),
            StopAtEnd = result.GetValue(StopAtEnd),
        };
        string? since = result.GetValue(Since);
        long? offset = result.GetValue(Offset);
        int given = (result.GetValue(Beginning) ? 1 : 0) + (offset is null ? 0 : 1) + (since is null ? 0 : 1);
        if (given > 1)
            throw new CommandException("only one of --beginning, --offset and --since can be the start");

        if (result.GetValue(Beginning))
            request.Beginning = true;
        else if (offset is < 0)
            request.Last = -offset.Value;
        else if (offset is { } absolute)
            request.Offset = absolute;
        else if (since is not null)
            request.Time = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - (long)Parse(since).TotalMilliseconds;

        return request;
    }

    private static TimeSpan Parse(string text) => Quantities.TryParseTime(text, out TimeSpan time)
        ? time
        : throw new CommandException($"'{text}' is no time; write for instance 30s, 10m or 7d");

    /// <summary>The bytes as they are for programs; in a terminal, records that anybody may have made must not be able to take it over.</summary>
    private static string ToText(Record record, bool showKey)
    {
        string value = record.Value is { } bytes ? Encoding.UTF8.GetString(bytes.Span) : "";
        string text = showKey ? $"{(record.Key is { } key ? Encoding.UTF8.GetString(key.Span) : "")}\t{value}" : value;
        return Console.IsOutputRedirected ? text : VisibleText.Harmless(text);
    }

    private static string ToText(CorrectedTime time) =>
        (Instants.Format(time.Timestamp) ?? "") + (time.Certainty == TimeCertainty.Unknown ? "?" : "");

    private static string ToText(Gap gap) =>
        $"gap: offsets {gap.FirstOffset} to {gap.LastOffset} of {gap.Topic}/{gap.Partition} are lost ({gap.Reason})";

    private static string ToJson(Gap gap, bool showPartition) => OneLine(json =>
    {
        json.WriteStartObject("gap");
        if (showPartition)
            json.WriteNumber("partition", gap.Partition);

        json.WriteNumber("first", gap.FirstOffset);
        json.WriteNumber("last", gap.LastOffset);
        json.WriteNumber("bytes", gap.Bytes);
        json.WriteNumber("minTimestamp", gap.MinTimestamp);
        json.WriteNumber("maxTimestamp", gap.MaxTimestamp);
        json.WriteString("reason", gap.Reason);
        json.WriteNumber("notedAt", gap.NotedAt);
        json.WriteEndObject();
    });

    /// <param name="record">What to write.</param>
    /// <param name="time">When it was made; null where nothing but its timestamp is known.</param>
    /// <param name="partition">Where it lies; null where that was asked for.</param>
    internal static string ToJson(Record record, CorrectedTime? time = null, int? partition = null) => OneLine(json =>
    {
        if (partition is { } number)
            json.WriteNumber("partition", number);

        json.WriteNumber("offset", record.Offset);
        json.WriteNumber("timestamp", time?.Timestamp ?? record.Timestamp);
        if (time is { Certainty: TimeCertainty.Corrected })
            json.WriteNumber("storedTimestamp", record.Timestamp);

        if (time is { } known)
            json.WriteString("clock", known.Certainty.ToString().ToLowerInvariant());

        WriteBytes(json, "key", record.Key);
        WriteBytes(json, "value", record.Value);
        if (record.Headers.Count > 0)
        {
            json.WriteStartObject("headers");
            foreach (RecordHeader header in record.Headers)
                WriteBytes(json, header.Key, header.Value);

            json.WriteEndObject();
        }
    });

    /// <summary>An object of which somebody writes the members.</summary>
    private static string OneLine(Action<Utf8JsonWriter> write)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>Text as it is; what is no UTF-8 as base64 under the name with "Base64" behind it.</summary>
    private static void WriteBytes(Utf8JsonWriter json, string name, ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } present)
        {
            json.WriteNull(name);
            return;
        }

        try
        {
            json.WriteString(name, StrictUtf8.GetString(present.Span));
        }
        catch (DecoderFallbackException)
        {
            json.WriteBase64String(name + "Base64", present.Span);
        }
    }

    private static Option<string> CreateFormat()
    {
        var option = new Option<string>("--output", "-o") { Description = "text or json", DefaultValueFactory = _ => "text" };
        option.AcceptOnlyFromAmong("text", "json");
        return option;
    }
}
