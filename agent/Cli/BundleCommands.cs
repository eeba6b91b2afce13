using System.CommandLine;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Files;
using Google.Protobuf;
using Grpc.Core;

namespace EdgeStream.Agent.Cli;

/// <summary><c>log export</c> at an edge and <c>log import</c> at its hub: records on a stick instead of over the link.</summary>
internal static class BundleCommands
{
    private const int PieceBytes = 256 * 1024;

    public static Command Export()
    {
        var topic = new Argument<string>("topic") { Description = "A mirror topic" };
        Option<int?> partition = new Option<int?>("--partition", "-p") { Description = "Which partition" }.AtLeast(0);
        Option<long?> from = new Option<long?>("--from") { Description = "From this offset (default: the first one held)", HelpName = "offset" }.AtLeast(0);
        Option<long?> to = new Option<long?>("--to") { Description = "Stop before this offset (default: the durable end)", HelpName = "offset" }.AtLeast(0);
        var hub = new Option<string>("--hub")
        {
            Description = "The hub it is for, where the edge has joined several",
            DefaultValueFactory = _ => "",
            HelpName = "address",
        };
        var file = new Option<string>("--out") { Description = "The file to make; one that exists is not overwritten", Required = true, HelpName = "file" };
        var command = new CliCommand(
            "export",
            "At an edge: write a partition's records into a signed file that its hub imports",
            "edgestream log export readings --out /media/stick/berlin-7.esb\nedgestream log export readings --from 120000 --out /media/stick/rest.esb")
        {
            Arguments = { topic },
            Options = { partition, from, to, hub, file },
        };
        command.Does((result, cancellationToken) =>
        {
            var request = new ExportLogRequest
            {
                Topic = result.GetValue(topic),
                Partition = result.GetValue(partition) ?? 0,
                Hub = result.GetValue(hub),
            };
            if (result.GetValue(from) is { } first)
                request.From = first;

            if (result.GetValue(to) is { } end)
                request.To = end;

            return ExportAsync(result, request, result.GetValue(file)!, cancellationToken);
        });
        return command;
    }

    public static Command Import()
    {
        var file = new Argument<string>("file") { Description = "What 'edgestream log export' made" };
        var command = new CliCommand(
            "import",
            "At a hub: take a file that an edge exported; all of it is checked before anything is changed",
            "edgestream log import /media/stick/berlin-7.esb")
        {
            Arguments = { file },
        };
        command.Does((result, cancellationToken) => ImportAsync(result, result.GetValue(file)!, cancellationToken));
        return command;
    }

    private static async Task ExportAsync(ParseResult result, ExportLogRequest request, string file, CancellationToken cancellationToken)
    {
        string path = Path.GetFullPath(file), part = path + ".part";
        RefuseExisting(path);
        using var client = ConnectionOptions.OpenLocal(result);
        using AsyncServerStreamingCall<ExportLogResponse> call = client.Agent.ExportLog(request, cancellationToken: cancellationToken);
        ExportRange range;
        try
        {
            if (!await call.ResponseStream.MoveNext(cancellationToken))
                throw new CommandException("the edge sent nothing");

            range = call.ResponseStream.Current.Range;
            long records = range.Header.LastOffset + 1 - range.Header.FirstOffset;
            await ProgressBar.RunAsync($"exporting {records} records", records, told =>
                ReceiveAsync(call.ResponseStream, part, next => told(next - range.Header.FirstOffset), cancellationToken));
            RefuseExisting(path);
            File.Move(part, path);
            DiskFiles.Instance.SyncDirectory(Path.GetDirectoryName(path)!);
        }
        catch (Exception failure)
        {
            // Half a bundle is of no use; the next attempt begins anew.
            TryDelete(part);
            if (failure is RpcException { StatusCode: StatusCode.Cancelled } && cancellationToken.IsCancellationRequested)
                throw new OperationCanceledException(cancellationToken);

            throw failure switch
            {
                RpcException error => ClientException.From(error, client.Endpoint),
                IOException or UnauthorizedAccessException => new CommandException($"'{file}' cannot be written: {failure.Message}"),
                _ => failure,
            };
        }

        long count = range.Header.LastOffset + 1 - range.Header.FirstOffset;
        result.InvocationConfiguration.Output.WriteLine(
            $"exported offsets {range.Header.FirstOffset} to {range.Header.LastOffset} of '{range.Header.Topic}' of '{range.Header.GeoLocation}': "
            + $"{count} records, {new FileInfo(path).Length} bytes in {file}");
        if (range.GoOnFrom > 0)
        {
            result.InvocationConfiguration.Error.WriteLine(
                $"offsets {range.LostFrom} to {range.GoOnFrom - 1} are lost, and the bundle ends before them; go on with --from {range.GoOnFrom}");
        }
    }

    private static async Task ReceiveAsync(
        IAsyncStreamReader<ExportLogResponse> responses, string part, Action<long> told, CancellationToken cancellationToken)
    {
        await using var output = new FileStream(part, FileMode.Create, FileAccess.Write, FileShare.None);
        while (await responses.MoveNext(cancellationToken))
        {
            await output.WriteAsync(responses.Current.Data.Memory, cancellationToken);
            told(responses.Current.NextOffset);
        }

        // A stick is pulled as soon as the command has ended.
        output.Flush(flushToDisk: true);
    }

    private static async Task ImportAsync(ParseResult result, string file, CancellationToken cancellationToken)
    {
        await using FileStream input = OpenInput(file);
        using var client = ConnectionOptions.OpenLocal(result);
        using AsyncClientStreamingCall<ImportLogRequest, ImportLogResponse> call = client.Agent.ImportLog(cancellationToken: cancellationToken);
        ImportLogResponse? done = null;
        try
        {
            await ProgressBar.RunAsync($"importing {input.Length} bytes", input.Length, async told =>
            {
                await SendAsync(input, file, call.RequestStream, told, cancellationToken);
                done = await call.ResponseAsync;
            });
        }
        catch (RpcException error)
        {
            throw error.StatusCode == StatusCode.Cancelled && cancellationToken.IsCancellationRequested
                ? new OperationCanceledException(cancellationToken)
                : ClientException.From(error, client.Endpoint);
        }

        BundleHeader header = done!.Header;
        string held = $"offsets {header.FirstOffset} to {header.LastOffset} of '{header.Topic}' of '{header.GeoLocation}'";
        result.InvocationConfiguration.Output.WriteLine(done.AddedRecords == 0
            ? $"nothing to do: the hub holds {held} already; partition {done.Partition} ends at {done.Durable}"
            : $"imported {held}: {done.AddedRecords} records added; partition {done.Partition} ends at {done.Durable}");
    }

    private static async Task SendAsync(
        FileStream input, string file, IClientStreamWriter<ImportLogRequest> requests, Action<long> told, CancellationToken cancellationToken)
    {
        try
        {
            await requests.WriteAsync(new ImportLogRequest { TotalBytes = input.Length }, cancellationToken);
            byte[] buffer = new byte[PieceBytes];
            int read;
            while ((read = await input.ReadAsync(buffer, cancellationToken)) > 0)
            {
                await requests.WriteAsync(new ImportLogRequest { Data = UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, read)) }, cancellationToken);
                told(input.Position);
            }

            await requests.CompleteAsync();
        }
        catch (IOException error)
        {
            throw new CommandException($"'{file}' cannot be read: {error.Message}");
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException)
        {
            // Refused before all was sent; the answer says why.
        }
    }

    private static FileStream OpenInput(string file)
    {
        try
        {
            FileStream input = File.OpenRead(file);
            if (input.CanSeek)
                return input;

            input.Dispose();
            throw new CommandException($"'{file}' is no file; a bundle is imported from one");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"'{file}' cannot be read: {error.Message}");
        }
    }

    private static void RefuseExisting(string path)
    {
        if (Path.Exists(path))
            throw new CommandException($"'{path}' exists already; it was not touched; choose another name with --out");
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The stick is gone, or was never writable.
        }
    }
}
