using CsCheck;
using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records;

/// <summary>Any records, with any codec, come back as they were. A failure prints the seed that repeats it.</summary>
public class RecordBatchPropertyTests
{
    // Half of the payloads repeat themselves, so that the codecs find something to do.
    private static readonly Gen<byte[]?> Payload = Gen.OneOf(
        Gen.Const((byte[]?)null),
        Gen.Byte.Array[0, 200].Select(b => (byte[]?)b),
        Gen.Select(Gen.Byte, Gen.Int[0, 3000], (value, count) => (byte[]?)Enumerable.Repeat(value, count).ToArray()));

    private static readonly Gen<string> HeaderKey = Gen.OneOf(
        Gen.String[Gen.Char.AlphaNumeric, 0, 20],
        Gen.String[Gen.Char['\u00A0', '\u2FFF'], 1, 5],
        Gen.Const("\U0001F321"));

    private static readonly Gen<RecordHeader> Header =
        Gen.Select(HeaderKey, Payload, (key, value) => new RecordHeader(key, Memory(value)));

    private static readonly Gen<Record> AnyRecord = Gen.Select(
        Gen.OneOf(Gen.Long, Gen.Long[1_700_000_000_000, 1_800_000_000_000]),
        Payload,
        Payload,
        Header.Array[0, 4],
        (timestamp, key, value, headers) => new Record(0, timestamp, Memory(key), Memory(value), headers));

    [Fact]
    public void Any_records_in_any_codec_come_back() =>
        Gen.Select(AnyRecord.Array[1, 40], Gen.Enum<CompressionCodec>(), Gen.Long[0, long.MaxValue - 40])
            .Sample(
                (records, codec, baseOffset) =>
                {
                    byte[] batch = Encode(records, codec, baseOffset);
                    Record[] expected = [.. records.Select((r, i) => r with { Offset = baseOffset + i })];
                    RecordAssert.Equal(expected, Decode(batch));
                },
                iter: 2_000);
}
