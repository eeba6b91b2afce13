using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Cluster.Tests.Topology;

/// <summary>What an SC makes of what several SPUs tell of one geo-location.</summary>
public class GeoLocationPresenceTests
{
    private readonly GeoLocationPresence _presence = new(TimeProvider.System);

    [Fact]
    public void Late_word_of_the_spu_that_had_the_link_does_not_take_it_from_the_one_that_has_it()
    {
        _presence.NoteElsewhere(1, Seen(GeoLocationState.Online, 10));
        _presence.NoteElsewhere(2, Seen(GeoLocationState.Online, 11));
        _presence.NoteElsewhere(1, Seen(GeoLocationState.Offline, 12));
        Assert.True(_presence.IsOnline("north"));
        _presence.NoteElsewhere(2, Seen(GeoLocationState.Offline, 13));
        Assert.False(_presence.IsOnline("north"));
    }

    [Fact]
    public void Of_links_that_are_gone_the_last_counts()
    {
        _presence.NoteElsewhere(1, Seen(GeoLocationState.Offline, 20));
        _presence.NoteElsewhere(2, Seen(GeoLocationState.Offline, 10));
        Assert.Equal(20, _presence.FindElsewhere("north")!.LastSeen);
    }

    [Fact]
    public void Links_go_with_their_spu_and_no_others()
    {
        _presence.NoteElsewhere(1, Seen(GeoLocationState.Online, 10));
        _presence.ForgetSpu(2);
        Assert.True(_presence.IsOnline("north"));
        _presence.ForgetSpu(1);
        Assert.False(_presence.IsOnline("north"));
    }

    private static GeoLocation Seen(GeoLocationState state, long at) => new() { Name = "north", State = state, LastSeen = at };
}
