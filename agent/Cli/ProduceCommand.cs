using System.CommandLine;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Agent.Cli;

/// <summary><c>produce TOPIC</c>: a record a line.</summary>
internal static class ProduceCommand
{
    public static Command Create()
    {
        var topic = new Argument<string>("topic");
        var partition = new Option<int>("--partition", "-p") { Description = "Which partition" };
        var separator = new Option<string?>("--key-separator") { Description = "What stands between key and value in a line", HelpName = "text" };
        var file = new Option<string?>("--file", "-f") { Description = "Read lines from a file instead of standard input", HelpName = "path" };
        var ack = new Option<string>("--ack") { Description = "When a record counts as stored", DefaultValueFactory = _ => "durable" };
        ack.AcceptOnlyFromAmong("written", "durable", "mirrored");
        var command = new CliCommand(
            "produce", "Append a record for each line of standard input", "echo 'kitchen:21.5' | edgestream produce readings --key-separator :")
        {
            Arguments = { topic },
            Options = { partition, separator, file, ack },
        };
        command.Does(async (result, cancellationToken) =>
        {
            using var client = ConnectionOptions.Open(result);
            using TextReader lines = Open(result.GetValue(file));
            await using Producer producer = await client.ProduceAsync(
                result.GetValue(topic)!, result.GetValue(partition), Enum.Parse<Ack>(result.GetValue(ack)!, ignoreCase: true));
            (long count, long last) = await ProduceAsync(producer, lines, result.GetValue(separator), cancellationToken);
            result.InvocationConfiguration.Error.WriteLine(
                count == 0 ? "nothing to store" : $"{count} record{(count == 1 ? "" : "s")} stored, the last at offset {last}");
        });
        return command;
    }

    private static async Task<(long Count, long LastOffset)> ProduceAsync(
        Producer producer, TextReader lines, string? separator, CancellationToken cancellationToken)
    {
        // Enough to keep the stream full; each is waited for, so that an error is never missed.
        const int MaxUnacknowledged = 10_000;
        var unacknowledged = new Queue<Task<long>>();
        long count = 0, last = -1;
        while (await lines.ReadLineAsync(cancellationToken) is { } line)
        {
            unacknowledged.Enqueue(await producer.SendAsync(ToRecord(line, separator), cancellationToken));
            count++;
            while (unacknowledged.Count > MaxUnacknowledged || (unacknowledged.TryPeek(out Task<long>? first) && first.IsCompleted))
                last = await unacknowledged.Dequeue();
        }

        while (unacknowledged.TryDequeue(out Task<long>? next))
            last = await next;

        return (count, last);
    }

    private static Record ToRecord(string line, string? separator)
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        int at = string.IsNullOrEmpty(separator) ? -1 : line.IndexOf(separator, StringComparison.Ordinal);
        return at < 0
            ? new Record(now, key: null, value: new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line)))
            : new Record(
                now,
                new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line[..at])),
                new ReadOnlyMemory<byte>(Encoding.UTF8.GetBytes(line[(at + separator!.Length)..])));
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
