using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Tests.Topology;

public class NamesTests
{
    public static TheoryData<string> Good => ["a", "readings", "Readings.v2_x-1", "0", "a..b", "-", new string('x', 64)];

    public static TheoryData<string?> Bad =>
    [
        (string?)null, "", ".", "..", ".hidden", "/", "/../", "a/b", "../../etc/passwd", "a\\b", "a\0b", "\0", "a\nb", "a\tb", "\u001b[31mred", "a b",
        "a:b", "a*b", "é", "\u202Eabc", "a\u2028b", "\uD800", "%2e%2e", new string('x', 250),
    ];

    [Theory]
    [MemberData(nameof(Good))]
    public void Name_of_plain_characters_is_taken(string name)
    {
        Assert.Equal(name, Names.CheckTopic(name));
        Assert.Equal(name, Names.CheckGeoLocation(name));
    }

    [Theory]
    [MemberData(nameof(Bad))]
    public void Name_that_could_mean_more_is_refused_in_one_printable_line(string? name)
    {
        foreach (Func<string?, string> check in (Func<string?, string>[])[Names.CheckTopic, Names.CheckGeoLocation])
        {
            string message = Assert.Throws<InvalidNameException>(() => check(name)).Message;
            Assert.All(message, c => Assert.True(c is >= ' ' and <= '~' or 'é', $"U+{(int)c:X4} in the message"));
        }
    }

    [Fact]
    public void Names_have_a_largest_length()
    {
        Assert.Equal(249, Names.CheckTopic(new string('x', 249)).Length);
        Assert.Throws<InvalidNameException>(() => Names.CheckGeoLocation(new string('x', 65)));
    }
}
