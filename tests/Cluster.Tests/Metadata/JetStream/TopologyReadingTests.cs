using System.Globalization;
using System.Text;
using EdgeStream.Cluster.Metadata.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Tests.Metadata.JetStream;

public sealed class TopologyReadingTests
{
    private const string Prefix = "$KV.b.";

    [Fact]
    public void Bucket_that_was_never_written_is_whole()
    {
        Assert.Null(Read(last: 0).Problem);
        Assert.Null(Read(last: 2, Foreign("notes", 1), Foreign("topic.a", 2)).Problem);
        Assert.Equal("nothing of it is there any more", Read(last: 2, Foreign("notes", 2)).Problem);
        Assert.Equal("nothing of it is there any more", Read(last: 1).Problem);
    }

    [Fact]
    public void All_as_the_newest_left_it_is_whole_also_where_older_ones_of_a_key_were_read_before()
    {
        TopologyReading reading = Read(last: 7, Own("a", 2, 2), Own("topic.b", 3, 5), Own("topic.b", 7, 14), Own("c", 5, 10), Foreign("notes", 6));
        Assert.Null(reading.Problem);
        Assert.Equal((14, 7, 7), (reading.Sum, reading.Last, reading.LastFound));
        Assert.Equal([("a", 2L), ("c", 5L), ("topic.b", 7L)], reading.Entries.Select(entry => (entry.Key, entry.Value.Revision)));
        Assert.Equal(["notes"], reading.Foreign);
    }

    [Fact]
    public void What_is_missing_is_told_from_what_came_later()
    {
        Assert.Equal("some of what was there at its last write that is left, revision 5, is gone", Read(last: 5, Own("a", 2, 2), Own("c", 5, 10)).Problem);

        // The one before came back without the one that took its place.
        Assert.Equal("what was written after its last write that is left, revision 5, is gone", Read(last: 5, Own("a", 2, 2), Own("b", 4, 4), Own("c", 5, 7)).Problem);
    }

    [Theory]
    [InlineData("topic.b", 5, "'topic.b' was written by something that is no SC, maybe over what an SC had written")]
    [InlineData("topic.b", 4, null)]
    [InlineData("notes", 5, null)]
    public void Newest_that_was_written_over_is_missed_where_it_can_have_been_there(string key, long sequence, string? problem) =>
        Assert.Equal(problem, Read(last: sequence, Own("a", 2, 2), Own("c", 3, 5), Foreign(key, sequence)).Problem);

    [Fact]
    public void What_was_written_over_is_named_where_something_is_missing_and_what_lay_there_before_is_not()
    {
        StoredMessage stranger = Foreign("topic.stranger", 3), over = Foreign("topic.b", 6);
        Assert.Equal(
            "'topic.b' was written by something that is no SC, over what an SC had written", Read(last: 6, Own("a", 2, 2), stranger, Own("c", 5, 11), over).Problem);
        Assert.Null(Read(last: 6, Own("a", 2, 2), stranger, Own("c", 5, 7)).Problem);
    }

    [Fact]
    public void Readings_are_the_same_where_all_messages_are()
    {
        TopologyReading reading = Read(last: 3, Own("a", 2, 2), Foreign("notes", 3));
        Assert.True(reading.IsSame(Read(last: 3, Foreign("notes", 3), Own("a", 2, 2))));
        Assert.False(reading.IsSame(Read(last: 4, Own("a", 2, 2), Foreign("notes", 3))));
        Assert.False(reading.IsSame(Read(last: 3, Own("a", 2, 2))));
        Assert.False(reading.IsSame(null));
    }

    private static TopologyReading Read(long last, params StoredMessage[] messages) => new(messages, Prefix, last);

    private static StoredMessage Own(string key, long sequence, long sum) =>
        Message(key, sequence, string.Create(CultureInfo.InvariantCulture, $"NATS/1.0\r\n{TopologyReading.SumHeader}: {sum}\r\n\r\n"));

    private static StoredMessage Foreign(string key, long sequence) => Message(key, sequence, null);

    private static StoredMessage Message(string key, long sequence, string? headers) => new()
    {
        Subject = Prefix + key,
        Seq = (ulong)sequence,
        Time = DateTimeOffset.UnixEpoch,
        Data = new byte[] { 1 },
        Hdrs = headers is null ? null : Convert.ToBase64String(Encoding.ASCII.GetBytes(headers)),
    };
}
