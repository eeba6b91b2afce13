using System.Text;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Devices.Tests.Mqtt;

public sealed class MqttPublishTopicTests
{
    [Theory]
    [InlineData("site/commands", "pump", "site/commands")]
    [InlineData("site/{topic}/{key}", "pump", "site/commands/pump")]
    [InlineData("{key}", "a/b", "a/b")]
    [InlineData("{key}{key}/", "ü", "üü/")]
    public void Places_are_filled(string template, string key, string expected)
    {
        Assert.True(MqttPublishTopic.Parse(template).TryFill(Record(Encoding.UTF8.GetBytes(key)), out string topic, out _));
        Assert.Equal(expected, topic);
    }

    [Theory]
    [InlineData("+")]
    [InlineData("a/#")]
    [InlineData("a\0b")]
    [InlineData("")]
    public void Key_that_would_mean_more_than_itself_is_refused(string key) =>
        Assert.False(MqttPublishTopic.Parse("site/{key}").TryFill(Record(Encoding.UTF8.GetBytes(key)), out _, out _));

    [Fact]
    public void Key_that_is_missing_no_text_or_too_long_is_refused()
    {
        MqttPublishTopic topic = MqttPublishTopic.Parse("site/{key}");
        Assert.False(topic.TryFill(Record(null), out _, out _));
        Assert.False(topic.TryFill(Record([0xff, 0xfe]), out _, out _));
        Assert.False(topic.TryFill(Record(Encoding.UTF8.GetBytes(new string('x', 65_532))), out _, out _));
        Assert.True(topic.TryFill(Record(Encoding.UTF8.GetBytes(new string('x', 65_530))), out _, out _));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a/+")]
    [InlineData("#")]
    [InlineData("{0}")]
    [InlineData("{key")]
    [InlineData("key}")]
    [InlineData("{}")]
    public void What_is_no_topic_to_publish_to_is_refused(string template) =>
        Assert.Throws<SourceConfigurationException>(() => MqttPublishTopic.Parse(template));

    // By hand: a null array would convert to an empty key.
    private static SinkRecord Record(byte[]? key) => new("commands", 0, key is null ? null : new ReadOnlyMemory<byte>(key), default);
}
