using System.Buffers;
using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;
using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Tests.Mqtt;

public sealed class EmbeddedBrokerTests
{
    private readonly RecordingSink _sink = new();
    private readonly int _port = FreePort.Take();

    [Theory]
    [InlineData(MqttQualityOfServiceLevel.AtLeastOnce, MqttProtocolVersion.V500)]
    [InlineData(MqttQualityOfServiceLevel.AtLeastOnce, MqttProtocolVersion.V311)]
    [InlineData(MqttQualityOfServiceLevel.ExactlyOnce, MqttProtocolVersion.V500)]
    public async Task Device_gets_its_acknowledgement_when_the_record_is_durable(MqttQualityOfServiceLevel qos, MqttProtocolVersion version)
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        using IMqttClient device = await ConnectAsync("device", version: version);
        _sink.Close();

        Task<MqttClientPublishResult> publishing = device.PublishAsync(Message("s/kitchen/t", "21.5", qos));
        await Condition.WaitAsync("it is offered", () => _sink.Offered.Count == 1);
        Assert.False(publishing.IsCompleted);
        _sink.Open();

        Assert.True((await publishing).IsSuccess);
        Assert.Equal(["21.5"], _sink.StoredValues);
    }

    [Fact]
    public async Task One_device_that_waits_does_not_keep_another_waiting()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        using IMqttClient slow = await ConnectAsync("slow"), fast = await ConnectAsync("fast");
        _sink.Close();
        Task first = slow.PublishAsync(Message("s/a/t", "1"));
        Task second = fast.PublishAsync(Message("s/b/t", "2"));

        await Condition.WaitAsync("both are offered", () => _sink.Offered.Count == 2);
        _sink.Open();
        await Task.WhenAll(first, second);
    }

    [Fact]
    public async Task Record_that_cannot_be_stored_is_not_acknowledged()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        using IMqttClient device = await ConnectAsync("device");
        _sink.Fails = _ => true;

        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            MqttClientPublishResult result = await device.PublishAsync(Message("s/kitchen/t", "1"));
            Assert.False(result.IsSuccess);
            throw new IOException("not acknowledged");
        });
        await Condition.WaitAsync("the connection is closed", () => !device.IsConnected);
        Assert.Empty(_sink.Stored);
    }

    [Fact]
    public async Task Subscribers_get_what_is_stored_and_what_is_not()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        var got = new ConcurrentQueue<string>();
        using IMqttClient local = await ConnectAsync("local");
        local.ApplicationMessageReceivedAsync += message =>
        {
            got.Enqueue(Encoding.UTF8.GetString(message.ApplicationMessage.Payload.ToArray()));
            return Task.CompletedTask;
        };
        await local.SubscribeAsync("#");
        using IMqttClient device = await ConnectAsync("device");
        await device.PublishAsync(Message("s/kitchen/t", "stored"));
        await device.PublishAsync(Message("other", "only passed on"));

        await Condition.WaitAsync("both came", () => got.Count == 2);
        Assert.Equal(["stored"], _sink.StoredValues);
    }

    [Theory]
    [InlineData(MqttProtocolVersion.V500)]
    [InlineData(MqttProtocolVersion.V311)]
    public async Task Payload_that_is_too_large_is_refused_and_counted(MqttProtocolVersion version)
    {
        EmbeddedBroker broker = Broker(maxPayload: 1000);
        await using RunningSource run = await RunningSource.StartAsync(broker);
        using IMqttClient device = await ConnectAsync("device", version: version);

        MqttClientPublishResult refused = await device.PublishAsync(Message("s/kitchen/t", new string('x', 1001)));
        await device.PublishAsync(Message("s/kitchen/t", new string('y', 1000)));

        Assert.Equal(version == MqttProtocolVersion.V500 ? MqttClientPublishReasonCode.QuotaExceeded : MqttClientPublishReasonCode.Success, refused.ReasonCode);
        Assert.Equal((2, 1, 1), (broker.Counters.Received, broker.Counters.Stored, broker.Counters.Dropped));
        Assert.Equal("payload of 1001 bytes is over the limit of 1000", broker.Counters.LastDrop);
    }

    [Fact]
    public async Task Empty_payload_is_a_record_with_an_empty_value()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        using IMqttClient device = await ConnectAsync("device");
        await device.PublishAsync(Message("s/kitchen/t", ""));

        Assert.Equal([""], _sink.StoredValues);
    }

    [Fact]
    public async Task Device_without_an_identifier_gets_one()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker());
        using IMqttClient device = await ConnectAsync(""), other = await ConnectAsync("");
        await device.PublishAsync(Message("s/kitchen/t", "1"));
        await other.PublishAsync(Message("s/kitchen/t", "2"));

        Assert.Equal(["1", "2"], _sink.StoredValues);
    }

    [Fact]
    public async Task Password_is_asked_for_where_one_is_set()
    {
        await using RunningSource run = await RunningSource.StartAsync(Broker(users: new Dictionary<string, string> { ["pi"] = "secret" }));

        using IMqttClient good = await ConnectAsync("good", "pi", "secret");
        Assert.True(good.IsConnected);
        foreach ((string? user, string? password) in new[] { ("pi", "wrong"), ("other", "secret"), ("pi", ""), (null, null) })
            Assert.Equal(MqttClientConnectResultCode.BadUserNameOrPassword, await TryConnectAsync(user, password));
    }

    [Fact]
    public async Task Port_in_use_is_one_clear_line()
    {
        using var taken = new TcpListener(IPAddress.Loopback, _port);
        taken.Start();

        IOException error = await Assert.ThrowsAsync<IOException>(() => RunningSource.StartAsync(Broker()));

        Assert.Equal($"cannot listen on 127.0.0.1:{_port}: Address already in use", error.Message);
    }

    private EmbeddedBroker Broker(int maxPayload = 1024 * 1024, IReadOnlyDictionary<string, string>? users = null) => new(
        new EmbeddedBrokerOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, _port),
            Rules = [new MqttTopicRule("s/+/t", "readings", "{1}")],
            MaxPayloadBytes = maxPayload,
            Users = users ?? new Dictionary<string, string>(),
        },
        _sink,
        TimeProvider.System,
        NullLogger<EmbeddedBroker>.Instance);

    private static MqttApplicationMessage Message(string topic, string payload, MqttQualityOfServiceLevel qos = MqttQualityOfServiceLevel.AtLeastOnce) =>
        new MqttApplicationMessageBuilder().WithTopic(topic).WithPayload(payload).WithQualityOfServiceLevel(qos).Build();

    private async Task<IMqttClient> ConnectAsync(
        string id, string? user = null, string? password = null, MqttProtocolVersion version = MqttProtocolVersion.V500)
    {
        IMqttClient client = new MqttClientFactory().CreateMqttClient();
        await client.ConnectAsync(Options(id, user, password, version));
        return client;
    }

    private async Task<MqttClientConnectResultCode> TryConnectAsync(string? user, string? password)
    {
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        return (await client.ConnectAsync(Options("x", user, password, MqttProtocolVersion.V500))).ResultCode;
    }

    private MqttClientOptions Options(string id, string? user, string? password, MqttProtocolVersion version)
    {
        MqttClientOptionsBuilder builder = new MqttClientOptionsBuilder().WithTcpServer("127.0.0.1", _port).WithClientId(id).WithProtocolVersion(version);
        if (user is not null)
            builder.WithCredentials(user, password);

        return builder.Build();
    }
}
