using System.Diagnostics;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Writer;

/// <summary>Appends one batch after the other and reports what the log says to each.</summary>
internal sealed class Producer(PartitionLog log, Report report, WriterOptions options, int number)
{
    /// <summary>A log that has stopped is asked some more times: it must not acknowledge anything any more.</summary>
    private const int AttemptsOnFailedLog = 10;

    private readonly AckLevel _ack = options.Mixed && number % 2 == 1 ? AckLevel.Written : AckLevel.Durable;
    private readonly Queue<(RecordName First, Task<AppendedRange> Acknowledged)> _onTheWay = new();
    private int _failures;

    public async Task RunAsync()
    {
        var next = new RecordName(options.Run, number, 0);
        for (int i = 0; i < options.Appends && _failures < AttemptsOnFailedLog; i++)
        {
            int count = 1 + (i % 4);
            byte[] batch = Batches.Of([.. Enumerable.Range(0, count).Select(step => next.Next(step).ToValue())]);
            _onTheWay.Enqueue((next, await EnqueueAsync(batch)));
            next = next.Next(count);
            if (_onTheWay.Count >= options.Window)
                await ReportOldestAsync();
        }

        while (_onTheWay.Count > 0)
            await ReportOldestAsync();
    }

    /// <summary>A refusal, too, is an answer that has its turn.</summary>
    private async Task<Task<AppendedRange>> EnqueueAsync(byte[] batch)
    {
        try
        {
            return await log.EnqueueAsync(batch, _ack);
        }
        catch (EdgeStreamException refusal)
        {
            return Task.FromException<AppendedRange>(refusal);
        }
    }

    private async Task ReportOldestAsync()
    {
        (RecordName first, Task<AppendedRange> acknowledged) = _onTheWay.Dequeue();
        try
        {
            AppendedRange range = await acknowledged;
            int count = (int)(range.LastOffset - range.BaseOffset) + 1;
            report.Line(new Acknowledgement(_ack, range.BaseOffset, count, first, Stopwatch.GetTimestamp()).ToString());
        }
        catch (StorageFullException)
        {
            report.Line(Report.Full);
        }
        catch (LogFailedException error)
        {
            _failures++;
            report.Line($"{Report.Failed} {error.Message}");
        }
    }
}
