using System.Globalization;
using System.Text;
using EdgeStream.Devices.Mqtt;
using MQTTnet;

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
        Assert.Equal(expected, RecordOf(new MqttTopicRule("sensors/+/+", "t", key), "sensors/kitchen/temperature", "").Key);

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

    [Theory]
    [InlineData("$share/pool/sensors/+/t", "sensors/kitchen/t", true, "kitchen")]
    [InlineData("$share/pool/sensors/+/t", "$share/pool/sensors/kitchen/t", false, null)]
    [InlineData("$share/pool//x/+", "/x/y", true, "x")]
    public void Shared_subscription_matches_and_counts_levels_as_the_filter_in_it(string filter, string topic, bool expected, string? key)
    {
        var rule = new MqttTopicRule(filter, "t", "{1}");

        Assert.Equal(expected, rule.Matches(topic));
        Assert.True(rule.IsShared);
        if (expected)
            Assert.Equal(key, RecordOf(rule, topic, "").Key);
    }

    [Theory]
    [InlineData("$share/")]
    [InlineData("$share/pool")]
    [InlineData("$share/pool/")]
    [InlineData("$share//a")]
    [InlineData("$share/+/a")]
    public void Shared_subscription_without_group_or_filter_is_refused(string filter) =>
        Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule(filter, "t"));

    [Theory]
    [InlineData("{json:device.id}", """{"device":{"name":"x","id":"d-7"},"v":1}""", "d-7")]
    [InlineData("{json:id}", """{"a":[1,{"id":9}],"id":12.50}""", "12.50")]
    [InlineData("{1}/{json:readings.1.ch}", """{"readings":[{"ch":"a"},{"ch":"b"}]}""", "kitchen/b")]
    [InlineData("{json:ok}", """{"ok":true}""", "true")]
    [InlineData("{json:name}", """{"n\u0061me":"\u00e9"}""", "é")]
    public void Key_is_made_of_json_fields(string key, string payload, string expected)
    {
        (string? made, string? problem) = KeyAndProblem(key, payload);
        Assert.Equal((expected, null), (made, problem));
    }

    [Theory]
    [InlineData("", "its payload is not JSON")]
    [InlineData("°C 21.5", "its payload is not JSON")]
    [InlineData("""{"id" """, "its payload is not JSON")]
    [InlineData("""{"id":"\ud800"}""", "its payload is not JSON")]
    [InlineData("""{"name":1}""", "its JSON has no field 'id'")]
    [InlineData("21.5", "its JSON has no field 'id'")]
    [InlineData("[1]", "its JSON has no field 'id'")]
    [InlineData("""{"id":{}}""", "its JSON field 'id' is no single value")]
    [InlineData("""{"id":null}""", "its JSON field 'id' is no single value")]
    public void Payload_without_the_field_keeps_the_topic_as_its_key(string payload, string expected)
    {
        (string? made, string? problem) = KeyAndProblem("{json:id}", payload);
        Assert.Equal(("s/kitchen", expected), (made, problem));
    }

    [Fact]
    public void Payload_that_is_no_text_keeps_the_topic_as_its_key()
    {
        MqttApplicationMessage message = new MqttApplicationMessageBuilder().WithTopic("s/kitchen").WithPayload([.. "{\"id\":\""u8, 0xFF, .. "\"}"u8]).Build();
        SourceRecord record = MqttMessages.ToRecord(new MqttTopicRule("s/+", "t", "{json:id}"), message, default, out string? problem);

        Assert.Equal(("s/kitchen", "its payload is not JSON"), (Encoding.UTF8.GetString(record.Key!.Value.Span), problem));
    }

    [Theory]
    [InlineData("1700000000", "auto", "2023-11-14T22:13:20Z")]
    [InlineData("1700000000.25", "auto", "2023-11-14T22:13:20.25Z")]
    [InlineData("1700000000250", "auto", "2023-11-14T22:13:20.25Z")]
    [InlineData("1700000000250000", "auto", "2023-11-14T22:13:20.25Z")]
    [InlineData("1700000000250000000", "auto", "2023-11-14T22:13:20.25Z")]
    [InlineData("1.7e9", "auto", "2023-11-14T22:13:20Z")]
    [InlineData("\"1700000000\"", "auto", "2023-11-14T22:13:20Z")]
    [InlineData("\"2023-11-14T23:13:20+01:00\"", "auto", "2023-11-14T22:13:20Z")]
    [InlineData("\"2023-11-14T22:13:20\"", "iso8601", "2023-11-14T22:13:20Z")]
    [InlineData("5000", "ms", "1970-01-01T00:00:05Z")]
    [InlineData("5000", "s", "1970-01-01T01:23:20Z")]
    [InlineData("-5", "auto", null)]
    [InlineData("1e300", "auto", null)]
    [InlineData("\"10:30\"", "auto", null)]
    [InlineData("\"yesterday\"", "auto", null)]
    [InlineData("1700000000", "iso8601", null)]
    [InlineData("\"2023-11-14T22:13:20Z\"", "ms", null)]
    [InlineData("\"0001-01-01T00:00:00Z\"", "auto", null)]
    public void Time_is_read_from_the_payload(string json, string format, string? expected)
    {
        var arrival = DateTimeOffset.UnixEpoch.AddDays(1);
        var rule = new MqttTopicRule("s/+", "t")
        {
            Timestamp = "{json:ts}",
            TimestampFormat = format switch
            {
                "ms" => MqttTimestampFormat.Milliseconds,
                "s" => MqttTimestampFormat.Seconds,
                "iso8601" => MqttTimestampFormat.Iso8601,
                _ => MqttTimestampFormat.Auto,
            },
        };
        MqttApplicationMessage message = new MqttApplicationMessageBuilder().WithTopic("s/kitchen").WithPayload($$"""{"ts":{{json}}}""").Build();

        SourceRecord record = MqttMessages.ToRecord(rule, message, arrival, out string? problem);

        Assert.Equal(expected is null ? arrival : DateTimeOffset.Parse(expected, CultureInfo.InvariantCulture), record.Timestamp);
        Assert.Equal(expected is null ? "its timestamp cannot be read" : null, problem);
    }

    [Fact]
    public void Headers_come_from_topic_and_payload_and_one_that_is_not_there_is_left_out()
    {
        var rule = new MqttTopicRule("s/+", "t")
        {
            Headers = [new("site", "{1}"), new("unit", "{json:u}"), new("gone", "{json:x}"), new("plant", "north")],
        };

        MqttApplicationMessage message = new MqttApplicationMessageBuilder().WithTopic("s/kitchen").WithPayload("""{"u":"°C"}""").Build();
        SourceRecord record = MqttMessages.ToRecord(rule, message, default, out string? problem);

        Assert.Equal([("site", "kitchen"), ("unit", "°C"), ("plant", "north")], HeadersOf(record));
        Assert.Equal("its JSON has no field 'x'", problem);
    }

    [Theory]
    [InlineData("spBv1.0/plant/NDATA/gateway", "group=plant type=NDATA node=gateway")]
    [InlineData("spBv1.0/plant/DDATA/gateway/pump", "group=plant type=DDATA node=gateway device=pump")]
    [InlineData("spBv1.0/STATE/scada", "type=STATE host=scada")]
    [InlineData("spBv1.0/plant", "group=plant")]
    public void Parts_of_a_sparkplug_topic_become_headers(string topic, string expected)
    {
        SourceRecord record = RecordOf(new MqttTopicRule("spBv1.0/#", "t") { Sparkplug = true }, topic, "\u0008\u0001").Record;

        Assert.Equal(expected, string.Join(' ', HeadersOf(record).Select(header => $"{header.Name["sparkplug.".Length..]}={header.Value}")));
        Assert.Equal([8, 1], record.Value.ToArray());
    }

    [Fact]
    public void Sparkplug_rule_takes_no_other_topics() =>
        Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule("#", "t") { Sparkplug = true });

    [Theory]
    [InlineData("{json:}")]
    [InlineData("{json:a..b}")]
    public void Json_place_that_names_no_field_is_refused(string template) =>
        Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule("#", "t", template));

    [Fact]
    public void Topic_does_not_depend_on_the_payload() =>
        Assert.Throws<SourceConfigurationException>(() => new MqttTopicRule("#", "{json:topic}"));

    private static (string? Key, string? Problem) KeyAndProblem(string key, string payload)
    {
        (string? made, SourceRecord _, string? problem) = RecordOf(new MqttTopicRule("s/+", "t", key), "s/kitchen", payload);
        return (made, problem);
    }

    private static (string? Key, SourceRecord Record, string? Problem) RecordOf(MqttTopicRule rule, string topic, string payload)
    {
        MqttApplicationMessage message = new MqttApplicationMessageBuilder().WithTopic(topic).WithPayload(payload).Build();
        SourceRecord record = MqttMessages.ToRecord(rule, message, default, out string? problem);
        return (record.Key is { } key ? Encoding.UTF8.GetString(key.Span) : null, record, problem);
    }

    private static IEnumerable<(string Name, string Value)> HeadersOf(SourceRecord record) =>
        record.Headers.Where(header => header.Key != "mqtt.topic").Select(header => (header.Key, Encoding.UTF8.GetString(header.Value.Span)));
}
