using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>The examples of MQTT 3.1.1 section 4.7, and the templates.</summary>
public sealed class MqttTopicRuleTests
{
    [Theory]
    [InlineData("sport/tennis/player1/#", "sport/tennis/player1", true)]
    [InlineData("sport/tennis/player1/#", "sport/tennis/player1/ranking", true)]
    [InlineData("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true)]
    [InlineData("sport/#", "sport", true)]
    [InlineData("sport/#", "sports", false)]
    [InlineData("#", "anything/at/all", true)]
    [InlineData("sport/tennis/+", "sport/tennis/player1", true)]
    [InlineData("sport/tennis/+", "sport/tennis/player1/ranking", false)]
    [InlineData("sport/+", "sport", false)]
    [InlineData("sport/+", "sport/", true)]
    [InlineData("+/+", "/finance", true)]
    [InlineData("/+", "/finance", true)]
    [InlineData("+", "/finance", false)]
    [InlineData("+/tennis/#", "sport/tennis/x", true)]
    [InlineData("a/b", "a/b", true)]
    [InlineData("a/b", "A/b", false)]
    [InlineData("#", "$SYS/broker/load", false)]
    [InlineData("+/monitor/Clients", "$SYS/monitor/Clients", false)]
    [InlineData("$SYS/#", "$SYS/broker/load", true)]
    [InlineData("$SYS/monitor/+", "$SYS/monitor/Clients", true)]
    public void Filter_matches_as_the_specification_says(string filter, string topic, bool expected) =>
        Assert.Equal(expected, new MqttTopicRule(filter, "t", null).Matches(topic));

    [Theory]
    [InlineData("")]
    [InlineData("sport/tennis#")]
    [InlineData("sport/tennis/#/ranking")]
    [InlineData("sport+")]
    [InlineData("a/+b/c")]
    [InlineData("a\0b")]
    public void What_is_no_filter_is_refused(string filter) =>
        Assert.StartsWith($"MQTT filter '{filter}': ", Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule(filter, "t")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("{1}", "kitchen")]
    [InlineData("{1}/{2}", "kitchen/temperature")]
    [InlineData("{topic}", "sensors/kitchen/temperature")]
    [InlineData("room-{1}!", "room-kitchen!")]
    [InlineData("", null)]
    [InlineData("plain", "plain")]
    [InlineData(null, "sensors/kitchen/temperature")]
    public void Key_is_made_of_levels(string? key, string? expected) =>
        Assert.Equal(expected, new MqttTopicRule("sensors/+/+", "t", key).KeyOf("sensors/kitchen/temperature"));

    [Theory]
    [InlineData("{1}")]
    [InlineData("{one}")]
    [InlineData("{-1}")]
    [InlineData("{1")]
    [InlineData("{}")]
    public void Template_that_names_nothing_is_refused(string template) =>
        Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule("#", "t", template));

    [Fact]
    public void First_rule_that_matches_wins()
    {
        MqttTopicRule[] rules = [new("a/b", "first", null), new("a/+", "second-{1}", null), new("#", "rest", null)];

        Assert.Equal("first", MqttTopicRule.Find(rules, "a/b")!.TopicOf("a/b"));
        Assert.Equal("second-c", MqttTopicRule.Find(rules, "a/c")!.TopicOf("a/c"));
        Assert.Equal(["first", "rest"], MqttTopicRule.TopicNames(rules));
        Assert.Null(MqttTopicRule.Find(rules, "$SYS/x"));
    }
}
