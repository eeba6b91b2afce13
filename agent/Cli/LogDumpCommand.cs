using System.CommandLine;
using EdgeStream.Agent.Hosting;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using EdgeStream.Storage.Segments;
using EdgeStream.Storage.Tools;

namespace EdgeStream.Agent.Cli;

/// <summary><c>log dump</c>: what stands in segment files.</summary>
internal static class LogDumpCommand
{
    private const int FlushLength = 64 * 1024;

    private static readonly Argument<string> What = new("topic or file") { Description = "A topic of the data directory, or one segment's file (*.log)" };
    private static readonly Option<int?> PartitionNumber =
        new Option<int?>("--partition", "-p") { Description = "Which partition (default: 0)", HelpName = "n" }.AtLeast(0);

    private static readonly Option<long?> Offset = new Option<long?>("--offset") { Description = "From this offset on", HelpName = "n" }.AtLeast(0);
    private static readonly Option<long?> Count =
        new Option<long?>("-n") { Description = "Stop after so many records, or batches", HelpName = "count" }.AtLeast(0);

    private static readonly Option<bool> Batches = new("--batches") { Description = "A line a batch instead of a line a record" };
    private static readonly Option<string> Format = CreateFormat();

    public static Command Create()
    {
        var command = new CliCommand(
            "dump",
            "Print what stands in the segments on the disk; changes nothing, works while the node runs",
            "edgestream log dump --data /var/lib/edgestream readings --offset 1200 -n 10\n"
            + "edgestream log dump --batches /var/lib/edgestream/topics/readings/0/00000000000000000000.log")
        {
            Arguments = { What },
            Options = { LocalPartitions.Data, PartitionNumber, Offset, Count, Batches, Format },
        };
        command.DoesWithExitCode((result, cancellationToken) => LogCommands.OnDiskAsync(() => Task.FromResult(Dump(result, cancellationToken))));
        return command;
    }

    private static int Dump(ParseResult result, CancellationToken cancellationToken)
    {
        string what = result.GetValue(What)!, directory;
        IEnumerable<SegmentFile> segments;
        if (what.EndsWith(SegmentFileName.LogExtension, StringComparison.Ordinal) && result.GetValue(LocalPartitions.Data) is null)
        {
            SegmentFile segment = SegmentAt(Path.GetFullPath(what));
            (directory, segments) = (Path.GetDirectoryName(segment.Path)!, [segment]);
        }
        else
        {
            directory = DirectoryOf(result, what);
            segments = PartitionFiles.Segments(DiskFiles.Instance, directory);
        }

        // Read first: what is durable by now is there when the segments are read.
        long durable = LogCheckpoint.TryRead(DiskFiles.Instance, directory)?.Durable ?? 0;
        bool json = result.GetValue(Format) == "json";
        long offset = result.GetValue(Offset) ?? 0, remaining = result.GetValue(Count) ?? long.MaxValue;
        using var output = new StringWriter();
        DumpWriter writer = result.GetValue(Batches) ? new BatchDumpWriter(output, json) : new RecordDumpWriter(output, json);
        foreach (SegmentFile segment in segments.Where(segment => segment.EndOffset > offset))
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (remaining <= 0)
                break;

            foreach (SegmentPart part in Parts(segment, durable).Where(part => part.Next > offset))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (remaining <= 0)
                    break;

                if (writer.Write(segment, part, offset, ref remaining) is { } problem)
                {
                    Flush(result, output);
                    result.InvocationConfiguration.Error.WriteLine($"edgestream: {new PartitionProblem(segment.Path, part.Position, part.First, part.Last, problem)}");
                }

                if (output.GetStringBuilder().Length >= FlushLength)
                    Flush(result, output);
            }
        }

        Flush(result, output);
        return 0;
    }

    private static IEnumerable<SegmentPart> Parts(SegmentFile segment, long durable)
    {
        ILogFile file;
        try
        {
            file = DiskFiles.Instance.OpenForReading(segment.Path);
        }
        catch (FileNotFoundException)
        {
            // The node has dropped it since the directory was listed.
            yield break;
        }

        using var walk = new SegmentWalk(file, segment.BaseOffset, segment.EndOffset, segment.IsLast ? durable : segment.EndOffset);
        foreach (SegmentPart part in walk.Parts())
            yield return part;
    }

    private static void Flush(ParseResult result, StringWriter output)
    {
        result.InvocationConfiguration.Output.Write(output.ToString());
        output.GetStringBuilder().Clear();
    }

    private static string DirectoryOf(ParseResult result, string topic)
    {
        string data = NodePaths.Data(result.GetValue(LocalPartitions.Data));
        int number = result.GetValue(PartitionNumber) ?? 0;
        IReadOnlyList<LocalPartition> partitions = LocalPartitions.Find(data, topic);
        return partitions.FirstOrDefault(partition => partition.Number == number).Directory
            ?? throw new CommandException(
                $"topic '{topic}' has no partition {number} in '{data}'; there is {(partitions.Count > 0 ? string.Join(", ", partitions.Select(one => one.Number)) : "none")}");
    }

    /// <summary>A file by its name; where its neighbours are there, what comes behind it is known as well.</summary>
    private static SegmentFile SegmentAt(string path)
    {
        if (!File.Exists(path))
            throw new CommandException(Directory.Exists(path) ? $"'{path}' is a directory, not a segment's file" : $"there is no file '{path}'");

        SegmentFile listed = PartitionFiles.Segments(DiskFiles.Instance, Path.GetDirectoryName(path)!).FirstOrDefault(segment => segment.Path == path);
        if (listed.Path is not null)
            return listed;

        // A copy under another name: it starts with what it starts with.
        using ILogFile file = DiskFiles.Instance.OpenForReading(path);
        byte[] start = new byte[RecordBatchHeader.Size];
        int filled = file.Read(start, 0);
        return RecordBatchHeader.TryRead(start.AsSpan(0, filled), out RecordBatchHeader header, out string? problem)
            ? new SegmentFile(path, header.BaseOffset, long.MaxValue, file.Length)
            : throw new CommandException($"'{path}' does not start with a record batch: {problem}");
    }

    private static Option<string> CreateFormat()
    {
        var option = new Option<string>("--output", "-o") { Description = "text, or json (an object a line)", DefaultValueFactory = _ => "text" };
        option.AcceptOnlyFromAmong("text", "json");
        return option;
    }
}
