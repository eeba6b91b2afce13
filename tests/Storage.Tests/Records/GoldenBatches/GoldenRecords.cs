using EdgeStream.Storage.Records;
using static EdgeStream.Storage.Tests.Records.SampleBatches;

namespace EdgeStream.Storage.Tests.Records.GoldenBatches;

/// <summary>What is in every golden batch: one record of each kind. The golden files must be made anew if this changes.</summary>
internal static class GoldenRecords
{
    private const long Start = 1_760_000_000_000; // 2025-10-09T08:53:20Z

    private static readonly byte[] Reading =
        Bytes(string.Concat(Enumerable.Range(0, 20).Select(i => $"{{\"t\":{20 + (i % 3)}.5,\"unit\":\"C\"}}")));

    public static readonly Record[] All =
    [
        new(0, Start, Bytes("sensor-1"), Reading, []),
        new(1, Start + 250, null, Reading, []),
        new(2, Start + 250, Bytes("sensor-2"), null, []),
        new(3, Start + 90_000, Bytes("sensor-2"), Array.Empty<byte>(), []), // the latest, and not the last
        new(4, Start - 3_600_000, Array.Empty<byte>(), Reading, []), // before the first
        new(5, Start + 1000, null, null, []),
        new(
            6,
            Start + 2000,
            Bytes("sensor-3"),
            Reading,
            [
                new("site", Bytes("north")),
                new("empty", Array.Empty<byte>()),
                new("absent", null),
                new("site", Bytes("again")),
                new("höhe", Bytes("812 m")),
            ]),
        new(7, Start + 3000, Bytes(new string('k', 100)), Bytes(string.Concat(Enumerable.Repeat("0123456789abcdef", 1250))), []),
    ];
}
