using System.CommandLine;
using EdgeStream.Agent.Hosting;
using EdgeStream.Storage.Files;
using EdgeStream.Storage.Tools;

namespace EdgeStream.Agent.Cli;

/// <summary><c>log verify</c>: reads everything and says what is wrong.</summary>
internal static class LogVerifyCommand
{
    private static readonly Argument<string?> Topic = new("topic")
    {
        Description = "Only this topic",
        Arity = ArgumentArity.ZeroOrOne,
        DefaultValueFactory = _ => null,
    };

    public static Command Create()
    {
        var command = new CliCommand(
            "verify",
            "Read all segments and say what is wrong with them; changes nothing, works while the node runs; exit code 1 if anything is wrong",
            "edgestream log verify --data /var/lib/edgestream readings")
        {
            Arguments = { Topic },
            Options = { LocalPartitions.Data, TableOutput.Format },
        };
        command.DoesWithExitCode((result, cancellationToken) => LogCommands.OnDiskAsync(() => VerifyAsync(result, cancellationToken)));
        return command;
    }

    private static async Task<int> VerifyAsync(ParseResult result, CancellationToken cancellationToken)
    {
        string data = NodePaths.Data(result.GetValue(LocalPartitions.Data));
        IReadOnlyList<LocalPartition> partitions = LocalPartitions.Find(data, result.GetValue(Topic));
        var all = new List<(LocalPartition Partition, PartitionFindings Findings)>();
        await ReadProgress.ShowAsync("verifying", partitions.Sum(SizeOf), read => Task.Run(() =>
        {
            foreach (LocalPartition partition in partitions)
                all.Add((partition, Check(partition, read)));
        }), cancellationToken).ConfigureAwait(false);

        var table = new TableOutput("topic", "partition", "segments", "batches", "records", "bytes", "first", "last", "gaps", "problems");
        foreach ((LocalPartition partition, PartitionFindings found) in all)
        {
            bool isEmpty = found.Records == 0;
            table.Add(
                partition.Topic, partition.Number, found.Segments, found.Batches, found.Records, found.Bytes,
                isEmpty ? null : found.First, isEmpty ? null : found.Next - 1, found.Gaps.Count, found.Problems.Count);
        }

        table.Write(result, "There are no topics.");
        return Report(result, data, all);
    }

    private static int Report(ParseResult result, string data, List<(LocalPartition Partition, PartitionFindings Findings)> all)
    {
        TextWriter error = result.InvocationConfiguration.Error;
        TextWriter lines = TableOutput.IsJson(result) ? error : result.InvocationConfiguration.Output;
        foreach (PartitionProblem problem in all.SelectMany(one => one.Findings.Problems))
            lines.WriteLine(problem);

        if (all.Sum(one => one.Findings.WithoutIndex) is > 0 and var without)
            error.WriteLine($"{without} segments have no index, which makes looking something up in them slower and is no problem");

        int problems = all.Sum(one => one.Findings.Problems.Count);
        if (problems == 0)
            return 0;

        error.WriteLine($"edgestream: {(problems == 1 ? "1 problem" : $"{problems} problems")} found; stop the node and repair with 'edgestream log repair --data {data}'");
        return 1;
    }

    private static PartitionFindings Check(LocalPartition partition, Action<long> read)
    {
        try
        {
            return PartitionCheck.Run(DiskFiles.Instance, partition.Directory, read);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return new PartitionFindings(0, 0, 0, 0, 0, 0, 0, [], [new PartitionProblem(partition.Directory, null, null, null, error.Message)]);
        }
    }

    /// <summary>How much there is to read; 0 where that cannot be told, which the check itself then says.</summary>
    internal static long SizeOf(LocalPartition partition)
    {
        try
        {
            return PartitionFiles.Segments(DiskFiles.Instance, partition.Directory).Sum(segment => segment.Bytes);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }
}
