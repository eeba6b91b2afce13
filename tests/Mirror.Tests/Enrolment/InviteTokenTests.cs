using EdgeStream.Cluster;
using EdgeStream.Cluster.Topology;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Mirror.Tests.Enrolment;

public class InviteTokenTests
{
    private static readonly InviteToken Token =
        new([.. Enumerable.Range(0, 32).Select(i => (byte)i)], [.. Enumerable.Range(100, 20).Select(i => (byte)i)], "north-1");

    [Fact]
    public void Text_gives_the_same_token_again()
    {
        InviteToken parsed = InviteToken.Parse($"  {Token.Format()}\n");
        Assert.Equal(Token.AuthorityFingerprint, parsed.AuthorityFingerprint);
        Assert.Equal(Token.Secret, parsed.Secret);
        Assert.Equal("north-1", parsed.GeoLocation);
    }

    [Fact]
    public void Each_typo_is_noticed()
    {
        string text = Token.Format();
        for (int i = 0; i < text.Length; i++)
        {
            string typo = text[..i] + (text[i] == 'A' ? 'B' : 'A') + text[(i + 1)..];

            // The last character has bits that no byte uses: a reader may pass over those.
            if (i < text.Length - 1)
                AssertNoToken(typo);
            AssertNoToken(text.Remove(i, 1));
            AssertNoToken(text[..i]);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("es1_")]
    [InlineData("es1_!!!")]
    [InlineData("es2_AAAA")]
    [InlineData("hello")]
    public void Other_text_is_no_token(string text) => AssertNoToken(text);

    [Fact]
    public void Name_that_no_hub_gives_is_refused() =>
        Assert.Throws<InvalidNameException>(() => InviteToken.Parse((Token with { GeoLocation = "../north" }).Format()));

    private static void AssertNoToken(string text)
    {
        var error = Assert.Throws<ClusterException>(() => InviteToken.Parse(text));
        Assert.Equal(ErrorCode.InvalidArgument, error.Code);
        Assert.Contains("copy the whole line", error.Message, StringComparison.Ordinal);
    }
}
