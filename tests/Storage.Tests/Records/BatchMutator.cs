using System.Buffers.Binary;
using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

/// <summary>
/// Makes damaged batches. Most get their length and checksum repaired, so that the damage comes through to what is behind
/// them: the decompressor, or, where the records were damaged before compression, the record parser.
/// </summary>
internal static class BatchMutator
{
    private static readonly byte[][] Originals =
        [.. AllCodecs.SelectMany(codec => (int[])[1, 8, 60], (codec, count) => Encode(Telemetry(count), codec))];

    private static readonly byte[][] Sections = [.. Originals.Select(batch => Section(batch))];

    private static readonly int[] ExtremeNumbers =
        [int.MaxValue, int.MinValue, -1, -2, 0, 1, 127, 128, ushort.MaxValue, RecordBatchHeader.MaxBatchSize, int.MaxValue - 1];

    // Base offset, length, leader epoch, checksum, last offset delta, timestamps, producer, sequence, record count.
    private static readonly int[] HeaderFields = [0, 4, 8, 12, 17, 23, 27, 31, 35, 39, 43, 53, 57];

    public static byte[] Mutate(Random random)
    {
        int which = random.Next(Originals.Length);
        byte[] batch = [.. Originals[which]];
        switch (random.Next(8))
        {
            case 0:
                return FlipBits(random, batch);
            case 1:
                return batch[..random.Next(batch.Length)];
            case 2:
                byte[] noise = new byte[random.Next(300)];
                random.NextBytes(noise);
                return random.Next(2) == 0 ? noise : Repair([.. batch[..RecordBatchHeader.Size], .. noise]);
            case 3:
                int field = HeaderFields[random.Next(HeaderFields.Length)];
                BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(field), ExtremeNumbers[random.Next(ExtremeNumbers.Length)]);
                return random.Next(4) == 0 ? batch : Seal(batch);
            case 4:
                return Repair([.. batch[..RecordBatchHeader.Size], .. MutateBytes(random, batch[RecordBatchHeader.Size..])]);
            case 5:
                return Seal(FlipBits(random, batch));
            default:
                Assert.True(RecordBatchHeader.TryRead(batch, out RecordBatchHeader header, out _));
                return Forge(header, MutateBytes(random, Sections[which]));
        }
    }

    private static byte[] MutateBytes(Random random, byte[] original)
    {
        byte[] bytes = [.. original];
        int at = random.Next(bytes.Length);
        switch (random.Next(6))
        {
            case 0:
                return FlipBits(random, bytes);
            case 1:
                return bytes[..at];
            case 2:
                bytes[at] = (byte)random.Next(256);
                return bytes;
            case 3:
                // A number where a number may be, or in the midst of something else.
                byte[] number = new byte[VarInt.MaxSize64];
                int size = VarInt.Write(number, ExtremeNumbers[random.Next(ExtremeNumbers.Length)]);
                return [.. bytes[..at], .. number[..size], .. bytes[Math.Min(bytes.Length, at + random.Next(3))..]];
            case 4:
                byte[] other = Sections[random.Next(Sections.Length)];
                return [.. bytes[..at], .. other[random.Next(other.Length)..]];
            default:
                BinaryPrimitives.TryWriteInt32LittleEndian(bytes.AsSpan(at), ExtremeNumbers[random.Next(ExtremeNumbers.Length)]);
                return bytes;
        }
    }

    private static byte[] FlipBits(Random random, byte[] bytes)
    {
        for (int flips = random.Next(1, 4); flips > 0; flips--)
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes;
    }

    private static byte[] Repair(byte[] batch)
    {
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(8), batch.Length - RecordBatchHeader.LengthPrefixSize);
        return Seal(batch);
    }

    private static byte[] Seal(byte[] batch)
    {
        RecordBatchHeader.SealChecksum(batch);
        return batch;
    }
}
