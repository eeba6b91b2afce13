using System.Globalization;
using System.Text;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Where batches go that the hub refuses for what they are: their bytes, with the reason, into the mirror topic
/// <c>dead-letter</c>; in their own log they become a gap, and the mirror goes on behind it.
/// </summary>
internal sealed class DeadLetters(StreamController controller, TimeProvider time, ILogger logger)
{
    public const string Topic = "dead-letter";

    // A record has to fit into a batch, with what is said about it.
    private const int MaxPartBytes = 1024 * 1024;

    /// <summary>Order: the bytes are durable in the dead-letter topic → the batch is a gap. After a crash in between they are there twice.</summary>
    /// <exception cref="EdgeStreamException">There is no room, or what was refused is no batch of this log.</exception>
    public async Task TakeAsync(string topic, PartitionLog log, long first, long last, string reason)
    {
        if (topic == Topic)
            throw new EdgeStreamException($"the hub refuses a record of '{Topic}' itself: {reason}");

        await StoreAsync(topic, ReadBatch(log, first, last), first, last, reason).ConfigureAwait(false);
        log.Condemn(first, last);
        logger.LogError(
            "{Topic}: the hub will never take offsets {First} to {Last} ({Reason}); their bytes are in '{DeadLetters}', the mirror goes on",
            topic, first, last, reason, Topic);
    }

    private static byte[] ReadBatch(PartitionLog log, long first, long last)
    {
        using LogReader reader = log.OpenReader(first);
        using LogSlice slice = reader.Read(RecordBatchHeader.Size);
        return RecordBatchHeader.TryRead(slice.Batches.Span, out RecordBatchHeader header, out _) && (header.BaseOffset, header.LastOffset) == (first, last)
            ? slice.Batches.Span[..header.TotalLength].ToArray()
            : throw new EdgeStreamException($"the hub has refused offsets {first} to {last}, which are no batch of this log");
    }

    private async Task StoreAsync(string topic, byte[] batch, long first, long last, string reason)
    {
        if (!controller.Current.Topics.ContainsKey(Topic))
            await controller.CreateTopicAsync(Topic, 1, new TopicSettings(Mirror: true)).ConfigureAwait(false);

        PartitionLog letters = controller.GetPartition(Topic, 0).Segments;
        int parts = (batch.Length + MaxPartBytes - 1) / MaxPartBytes;
        using var writer = new RecordBatchWriter();
        for (int part = 0; part < parts; part++)
        {
            writer.Reset();
            writer.Append(new Record(
                0,
                time.GetUtcNow().ToUnixTimeMilliseconds(),
                Encoding.UTF8.GetBytes(topic),
                batch.AsMemory(part * MaxPartBytes, Math.Min(MaxPartBytes, batch.Length - (part * MaxPartBytes))),
                [
                    Header("topic", topic),
                    Header("first-offset", first.ToString(CultureInfo.InvariantCulture)),
                    Header("last-offset", last.ToString(CultureInfo.InvariantCulture)),
                    Header("reason", reason),
                    Header("part", string.Create(CultureInfo.InvariantCulture, $"{part + 1}/{parts}")),
                ]));
            await letters.AppendAsync(writer.Build(), AckLevel.Durable).ConfigureAwait(false);
        }
    }

    private static RecordHeader Header(string key, string value) => new(key, Encoding.UTF8.GetBytes(value));
}
