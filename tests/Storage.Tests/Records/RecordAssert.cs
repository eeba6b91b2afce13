using EdgeStream.Storage.Records;

namespace EdgeStream.Storage.Tests.Records;

/// <summary>Compares records by their bytes, and null as something else than empty.</summary>
internal static class RecordAssert
{
    public static void Equal(IReadOnlyList<Record> expected, IReadOnlyList<Record> actual)
    {
        Assert.Equal(expected.Count, actual.Count);
        for (int i = 0; i < expected.Count; i++)
            Equal(expected[i], actual[i]);
    }

    private static void Equal(Record expected, Record actual)
    {
        Assert.Equal(expected.Offset, actual.Offset);
        Assert.Equal(expected.Timestamp, actual.Timestamp);
        Assert.Equal(Hex(expected.Key), Hex(actual.Key));
        Assert.Equal(Hex(expected.Value), Hex(actual.Value));
        Assert.Equal(
            expected.Headers.Select(h => (h.Key, Hex(h.Value))),
            actual.Headers.Select(h => (h.Key, Hex(h.Value))));
    }

    private static string? Hex(ReadOnlyMemory<byte>? bytes) => bytes is { } present ? Convert.ToHexString(present.Span) : null;
}
