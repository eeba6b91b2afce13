using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using EdgeStream.Storage.Gaps;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Records;
using NATS.Client.Core;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <summary>What a message of a partition's stream is; the last part of its subject.</summary>
internal enum MessageKind
{
    /// <summary>Record batches verbatim, one behind the other, with their offsets in them.</summary>
    Data,

    /// <summary>A gap in the place of records.</summary>
    Gap,

    /// <summary>A writer has begun: from here on the others' messages are refused.</summary>
    Epoch,
}

/// <summary>
/// A message of a partition's stream, as it was read. Whichever kind, it says which offset comes behind it and how late the latest record
/// is up to here, so the last message alone tells where the log goes on. Its bytes are pooled, and its owner's to dispose once.
/// </summary>
/// <remarks>
/// Header <c>EdgeStream-Time</c>: the largest timestamp (ms) in this and all messages before it. It only grows, so a time is found by
/// binary search, though records need not be in the order of their times. Payload of a gap, big-endian: first, last, bytes, min and max
/// timestamp, noted at i64, reason i32. Of an epoch: the next offset i64, the writer's id 16 bytes.
/// </remarks>
internal sealed class StreamMessage(
    string stream, string subject, long sequence, long latest, DateTimeOffset storedAt, NatsMemoryOwner<byte> payload) : IDisposable
{
    public const string TimeHeader = "EdgeStream-Time";

    /// <summary>Stands for the time before any record.</summary>
    public const long NoTime = -1;

    private const int GapSize = 52;
    private const int EpochSize = 24;

    private bool _disposed;

    public long Sequence => sequence;

    public MessageKind Kind { get; } = KindOf(subject);

    /// <summary>The largest timestamp up to here; <see cref="NoTime"/> where there are no records.</summary>
    public long Latest => latest;

    /// <summary>By the clock of the server that took it.</summary>
    public DateTimeOffset StoredAt => storedAt;

    public ReadOnlyMemory<byte> Payload => payload.Memory;

    /// <summary>The first offset of what is in it.</summary>
    /// <exception cref="PartitionDamagedException">It is none of this hub's.</exception>
    public long BaseOffset => BinaryPrimitives.ReadInt64BigEndian(Read(Kind switch
    {
        MessageKind.Epoch => EpochSize,
        MessageKind.Gap => GapSize,
        _ => RecordBatchHeader.Size,
    }));

    /// <summary>The offset that comes behind it.</summary>
    /// <exception cref="PartitionDamagedException">It is none of this hub's.</exception>
    public long NextOffset => Kind switch
    {
        MessageKind.Epoch => BaseOffset,
        MessageKind.Gap => ToGap().Last + 1,
        _ => FindEndOfBatches(),
    };

    /// <summary>Of an epoch: who began; null where it is none of a hub's.</summary>
    public Guid? Writer => WriterOf(Payload.Span);

    /// <summary>Of an epoch's payload: who began; null where it is none of a hub's.</summary>
    public static Guid? WriterOf(ReadOnlySpan<byte> epoch) => epoch.Length >= EpochSize ? new(epoch.Slice(8, 16), bigEndian: true) : null;

    public static byte[] Encode(Gap gap)
    {
        byte[] bytes = new byte[GapSize];
        long[] numbers = [gap.First, gap.Last, gap.Bytes, gap.MinTimestamp, gap.MaxTimestamp, gap.NotedAt];
        for (int i = 0; i < numbers.Length; i++)
            BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(i * 8), numbers[i]);

        BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(48), (int)gap.Reason);
        return bytes;
    }

    public static byte[] EncodeEpoch(long nextOffset, Guid writer)
    {
        byte[] bytes = new byte[EpochSize];
        BinaryPrimitives.WriteInt64BigEndian(bytes, nextOffset);
        writer.TryWriteBytes(bytes.AsSpan(8), bigEndian: true, out _);
        return bytes;
    }

    /// <summary>Gaps one behind the other, as <see cref="Encode"/> writes them; ends where they are none.</summary>
    public static IEnumerable<Gap> DecodeGaps(ReadOnlyMemory<byte> bytes)
    {
        for (; bytes.Length >= GapSize; bytes = bytes[GapSize..])
            yield return Decode(bytes.Span);
    }

    /// <exception cref="PartitionDamagedException">It is none of this hub's.</exception>
    public Gap ToGap() => Decode(Read(GapSize));

    public bool HasPayload(ReadOnlySequence<byte> bytes) => bytes.Length == payload.Length && new SequenceReader<byte>(bytes).IsNext(Payload.Span);

    public void Dispose()
    {
        if (_disposed)
            return;

        _disposed = true;
        payload.Dispose();
    }

    internal static long ParseTime(string? text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long time) ? time : NoTime;

    internal static MessageKind KindOf(string subject) => subject[(subject.LastIndexOf('.') + 1)..] switch
    {
        "gap" => MessageKind.Gap,
        "epoch" => MessageKind.Epoch,
        _ => MessageKind.Data,
    };

    private ReadOnlySpan<byte> Read(int atLeast) =>
        Payload.Length >= atLeast ? Payload.Span : throw Foreign($"{Payload.Length} bytes where {atLeast} are the least");

    private long FindEndOfBatches()
    {
        Read(RecordBatchHeader.Size);
        try
        {
            return RecordBatches.Split(Payload).Last().Header.NextOffset;
        }
        catch (CorruptBatchException damage)
        {
            throw Foreign(damage.Message);
        }
    }

    /// <summary>Streams let nobody delete a message; but a subject can be purged, and epochs can all be done without.</summary>
    private PartitionDamagedException Foreign(string problem) => new(
        $"the message at sequence {sequence} of the stream '{stream}' is none of this hub's ({problem}); "
        + (Kind == MessageKind.Epoch ? $"purge its subject there (nats stream purge {stream} --subject {subject}), or delete the topic" : "delete the topic and make it again"));

    private static Gap Decode(ReadOnlySpan<byte> bytes) => new(
        BinaryPrimitives.ReadInt64BigEndian(bytes),
        BinaryPrimitives.ReadInt64BigEndian(bytes[8..]),
        BinaryPrimitives.ReadInt64BigEndian(bytes[16..]),
        BinaryPrimitives.ReadInt64BigEndian(bytes[24..]),
        BinaryPrimitives.ReadInt64BigEndian(bytes[32..]),
        (GapReason)BinaryPrimitives.ReadInt32BigEndian(bytes[48..]),
        BinaryPrimitives.ReadInt64BigEndian(bytes[40..]));
}
