using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Cluster.Tests.Metadata;

public sealed class LiteDbMetadataStoreTests : IDisposable
{
    private static readonly DateTimeOffset Noon = new(2031, 2, 3, 12, 0, 0, TimeSpan.FromHours(5));

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task All_that_was_saved_is_there_after_reopening()
    {
        var topic = new TopicInfo("t", new TopicSettings(true, CompressionCodec.Lz4), [new PartitionInfo(0, 3), new PartitionInfo(1, 4, "north")]);
        GeoLocationInfo[] geos = [new("invited", null, false), new("north", Noon, true, "0a1b", Noon.AddDays(1))];
        var invite = new Invite("00ff", "north", Noon, Noon.AddTicks(1));
        string id;
        using (LiteDbMetadataStore store = Open())
        {
            id = store.ClusterId;
            await store.SaveTopicAsync(topic with { Settings = new TopicSettings() });
            await store.SaveTopicAsync(topic);
            await store.SaveTopicAsync(topic with { Name = "gone" });
            await store.DeleteTopicAsync("gone");
            foreach (GeoLocationInfo geo in geos)
                await store.SaveGeoLocationAsync(geo);

            await store.SaveInviteAsync(invite);
            await store.SaveInviteAsync(invite with { SecretHash = "11", GeoLocation = "south" });
            await store.DeleteInvitesAsync("south");
        }

        using LiteDbMetadataStore again = Open();
        Assert.Equal(id, again.ClusterId);
        TopicInfo read = Assert.Single(again.LoadTopics());
        Assert.Equal(topic with { Partitions = [] }, read with { Partitions = [] });
        Assert.Equal(topic.Partitions, read.Partitions);
        Assert.Equal(geos, again.LoadGeoLocations());
        Assert.Equal(invite, again.FindInvite("00ff"));
        Assert.Null(again.FindInvite("11"));
    }

    [Fact]
    public async Task Names_that_differ_in_case_are_two_names()
    {
        using LiteDbMetadataStore store = Open();
        await store.SaveTopicAsync(new TopicInfo("readings", new TopicSettings(), []));
        await store.SaveTopicAsync(new TopicInfo("Readings", new TopicSettings(), []));
        Assert.Equal(["Readings", "readings"], store.LoadTopics().Select(topic => topic.Name));
    }

    private LiteDbMetadataStore Open() => new(_temp.Sub("metadata.db"));
}
