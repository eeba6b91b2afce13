using EdgeStream.Storage.Log;
using EdgeStream.Testing;
using EdgeStream.Testing.Simulated;

namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>Opens what a crash has left, and sees whether all promises were kept and the log goes on.</summary>
internal sealed class ImageChecker(LogUnderTest test, Random random, int depth)
{
    // Larger than every ordinal in the image: those of the workload, and of the check whose recovery was cut.
    private int _next = depth * 10_000_000;

    /// <returns>What the log has let be known while it was opened, appended to and opened again.</returns>
    /// <exception cref="LogViolationException">A promise was broken.</exception>
    public async Task<LogEvidence> CheckAsync(SimulatedDisk image, LogPromise promise)
    {
        var observer = new LogObserver(image);
        LogEvidence evidence = observer.Evidence;
        evidence.NoteDurable(promise.End, 0);
        if (promise.Incarnation is { } incarnation)
            evidence.NoteIdentity(incarnation, 0);

        LogContents found = await UseAsync(image, observer, promise, appends: random.Next(1, 4));

        // Nothing happened in between but closing and opening: what was there is, in its place.
        LogContents again = await UseAsync(image, observer, evidence.At(image.OperationCount, processOnly: true), appends: 0);
        foreach ((long offset, string value) in found.Values)
        {
            if (!again.IsInGap(offset) && again.Values.GetValueOrDefault(offset) != value)
                throw new LogViolationException($"offset {offset} was '{value}' and is '{again.Values.GetValueOrDefault(offset)}' now");
        }

        if (image.OpenFiles != 0)
            throw new LogViolationException($"{image.OpenFiles} files are still open after the log was closed");

        image.BeforeOperation = null;
        return evidence;
    }

    private async Task<LogContents> UseAsync(SimulatedDisk image, LogObserver observer, LogPromise promise, int appends)
    {
        PartitionLog log = Open(image);
        try
        {
            observer.Log = log;
            LogContents contents = LogContents.Read(log, test);
            promise.Check(contents, log.Manifest.Incarnation);
            foreach ((long offset, string value) in contents.Values)
                observer.Evidence.NoteValue(offset, value);

            for (int i = 0; i < appends; i++)
                await AppendAsync(log, observer);

            await observer.SettleAsync(error => throw new LogViolationException($"the log takes nothing: {error.Message}", error));
            return contents;
        }
        finally
        {
            observer.Log = null;
            await log.DisposeAsync().InTimeAsync();
        }
    }

    private async Task AppendAsync(PartitionLog log, LogObserver observer)
    {
        string[] values = [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => TestValue.Of(_next++))];
        AckLevel ack = random.Next(2) == 0 ? AckLevel.Durable : AckLevel.Written;
        Task<AppendedRange> acknowledged = await log.EnqueueAsync(Batches.Of(values), ack).InTimeAsync();
        observer.Expect(values, ack, acknowledged.InTimeAsync());
    }

    private PartitionLog Open(SimulatedDisk image)
    {
        try
        {
            return test.Open(image);
        }
        catch (Exception error)
        {
            throw new LogViolationException($"the log does not start: {error.Message}", error);
        }
    }
}
