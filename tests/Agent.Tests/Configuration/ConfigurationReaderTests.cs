using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Sysfs;
using EdgeStream.Harness;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Storage.Records;

namespace EdgeStream.Agent.Tests.Configuration;

public sealed class ConfigurationReaderTests
{
    [Fact]
    public void Every_setting_is_read()
    {
        AgentConfiguration read = ConfigurationReader.Read("all.toml", """
            data = "/data"
            socket = "/socket"

            [http]
            listen = "[::]:9441"

            [[topic]]
            name = "readings"
            mirror = true
            compression = "zstd"
            priority = 7
            live = true

            [[topic]]
            name = "logs"
            partitions = 4

            [[source.mqtt]]
            broker = "mqtts://broker.example:1884"
            client-id = "me"
            protocol = "3.1.1"
            username = "u"
            password = "p"
            subscribe = [{ filter = "a/+/b", topic = "readings", key = "{1}" }, { filter = "c/#", topic = "logs" }]

            [[source.mqtt-broker]]
            listen = "0.0.0.0:1885"
            subscribe = [{ filter = "+/#", topic = "all-{0}" }]
            username = "u"
            password = "p"

            [[source.gpio]]
            chip = 4
            line = 17
            edge = "falling"
            debounce = "5ms"
            pull = "up"
            active-low = true
            topic = "door"
            key = "front"

            [[source.gpio]]
            chip = "simulated"
            simulated-period = "250ms"
            line = 18
            poll = "2s"
            topic = "level"

            [[source.gpio]]
            chip = "pinctrl-rp1"
            line = "GPIO22"
            count-every = "10s"
            topic = "water"

            [[source.sysfs]]
            path = "/sys/bus/w1/devices/28-*/w1_slave"
            topic = "boiler"
            key = "tank"
            every = "30s"
            offset = -5
            scale = 0.001
            unit = "°C"
            change = 0.5
            at-least-every = "1h"
            rate-limit = "5/h"

            [[source.command]]
            command = ["read-meter", "--watch"]
            topic = "meter"
            key = "k"
            every = "1m"
            rate-limit = "100/s"

            [uplink]
            progress-timeout = "10s"
            max-backoff = "5m"
            bandwidth = "200kbit/s"
            data-budget = "500MiB"
            free-hours = "22:30-06:00"
            keep-alive = "5m"
            linger = "2s"
            mirrored = "any"
            """);

        Assert.Equal(("/data", "/socket"), (read.Data, read.Socket));
        Assert.Equal(("[::]:9441", true), (read.Http!.Endpoint!.ToString(), read.Http.IsChosen));
        Assert.Equal([("readings", 1, true, CompressionCodec.Zstd), ("logs", 4, false, CompressionCodec.None)],
            read.Topics.Select(topic => (topic.Name, topic.Partitions, topic.Settings.Mirror, topic.Settings.Compression)));
        MqttSourceOptions mqtt = Assert.Single(read.MqttSources);
        Assert.Equal(("broker.example", 1884, "me", MqttProtocol.V311, "u", "p"),
            (mqtt.Broker.Host, mqtt.Broker.Port, mqtt.ClientId, mqtt.Protocol, mqtt.Username, mqtt.Password));
        Assert.Equal([("a/+/b", "readings", "{1}"), ("c/#", "logs", null)], mqtt.Rules.Select(rule => (rule.Filter, rule.Topic, rule.Key)));
        EmbeddedBrokerOptions broker = Assert.Single(read.MqttBrokers);
        Assert.Equal(("0.0.0.0:1885", "p"), (broker.Listen!.ToString(), broker.Users["u"]));
        Assert.Equal(
            new GpioLineOptions
            {
                Line = 17,
                Topic = "door",
                Key = "front",
                Edge = GpioEdge.Falling,
                Debounce = TimeSpan.FromMilliseconds(5),
                Pull = GpioPull.Up,
                ActiveLow = true,
            },
            read.GpioLines[0].Line);
        Assert.Equal(["gpiochip4", null, "pinctrl-rp1"], read.GpioLines.Select(line => line.Chip));
        Assert.Equal((TimeSpan.FromMilliseconds(250), TimeSpan.FromSeconds(2)), (read.GpioLines[1].SimulatedPeriod, read.GpioLines[1].Line.Poll!.Value));
        Assert.Equal(
            new GpioLineOptions { Line = LineId.FromName("GPIO22"), Topic = "water", Edge = GpioEdge.Rising, CountEvery = TimeSpan.FromSeconds(10) },
            read.GpioLines[2].Line);
        Assert.Equal(
            new SysfsOptions
            {
                Path = "/sys/bus/w1/devices/28-*/w1_slave",
                Topic = "boiler",
                Key = "tank",
                Every = TimeSpan.FromSeconds(30),
                Offset = -5,
                Scale = 0.001m,
                Unit = "°C",
                Change = 0.5m,
                AtLeastEvery = TimeSpan.FromHours(1),
                RateLimit = new RateLimit(5, TimeSpan.FromHours(1)),
            },
            Assert.Single(read.SysfsSources));
        CommandOptions command = Assert.Single(read.Commands);
        Assert.Equal(["read-meter", "--watch"], command.Command);
        Assert.Equal(
            ("meter", "k", TimeSpan.FromMinutes(1), new RateLimit(100, TimeSpan.FromSeconds(1))),
            (command.Topic, command.Key, command.Every!.Value, command.RateLimit!.Value));
        Assert.Equal((TimeSpan.FromSeconds(10), TimeSpan.FromMinutes(5)), (read.Uplink.ProgressTimeout, read.Uplink.MaxBackoff));
        Assert.Equal((25_000L, TimeSpan.FromMinutes(5), TimeSpan.FromSeconds(2)), (read.Uplink.BytesPerSecond!.Value, read.Uplink.KeepAlive, read.Uplink.Linger));
        Assert.Equal(new DataPlanOptions(500 * 1024 * 1024, new TimeOnly(22, 30), new TimeOnly(6, 0)), read.Uplink.DataPlan);
        Assert.Equal(["readings"], read.LiveTopics);
        Assert.Equal((7, 0), (read.Uplink.Priorities["readings"], read.Uplink.Priorities["logs"]));
        Assert.Equal(MirrorRule.Any, read.Uplink.Mirrored);
        Assert.Equal(["readings", "logs", "door", "level", "water", "boiler", "meter"], read.SourceTopics);
    }

    [Fact]
    public void Every_setting_of_an_MQTT_rule_is_read()
    {
        AgentConfiguration read = ConfigurationReader.Read("rules.toml", """
            [[source.mqtt]]
            broker = "mqtt://b"
            subscribe = [
                { filter = "a/+", topic = "t", key = "{json:device.id}", timestamp = "{json:ts}", timestamp-format = "ms", headers = { site = "{1}", plant = "north" }, user-properties = false },
                { filter = "spBv1.0/#", topic = "t", sparkplug = true },
            ]
            """);
        Assert.Equal(
            [
                new MqttTopicRule("a/+", "t", "{json:device.id}")
                {
                    Timestamp = "{json:ts}",
                    TimestampFormat = MqttTimestampFormat.Milliseconds,
                    Headers = [new("site", "{1}"), new("plant", "north")],
                    UserProperties = false,
                },
                new MqttTopicRule("spBv1.0/#", "t") { Sparkplug = true },
            ],
            read.MqttSources[0].Rules);
    }

    [Fact]
    public void Every_setting_of_MQTT_over_TLS_is_read()
    {
        AgentConfiguration read = ConfigurationReader.Read("tls.toml", """
            [[source.mqtt]]
            broker = "mqtts://b"
            ca-file = "ca"
            cert-file = "cert"
            key-file = "key"
            retained = "ignore"
            max-message = "4MiB"
            status-topic = "edges/berlin"
            subscribe = [{ filter = "a", topic = "t" }]

            [[source.mqtt-broker]]
            listen = "none"
            tls-listen = "0.0.0.0:8883"
            cert-file = "broker-cert"
            key-file = "broker-key"
            client-ca-file = "devices"
            max-message = "64KiB"
            max-connections = 7
            max-waiting = "4MiB"
            subscribe = [{ filter = "a", topic = "t" }]
            """);
        MqttSourceOptions source = read.MqttSources[0];
        Assert.Equal(("ca", "cert", "key"), (source.CaFile, source.CertFile, source.KeyFile));
        Assert.Equal((false, 4 * 1024 * 1024, "edges/berlin"), (source.StoreRetained, source.MaxPayloadBytes, source.StatusTopic));
        EmbeddedBrokerOptions broker = read.MqttBrokers[0];
        Assert.Equal((null, "0.0.0.0:8883"), (broker.Listen, broker.TlsListen!.ToString()));
        Assert.Equal(("broker-cert", "broker-key", "devices"), (broker.CertFile, broker.KeyFile, broker.ClientCaFile));
        Assert.Equal((64 * 1024, 7, 4 * 1024 * 1024), (broker.MaxPayloadBytes, broker.MaxConnections, broker.MaxWaitingBytes));
    }

    [Fact]
    public void Every_setting_of_Home_Assistant_is_read()
    {
        AgentConfiguration read = ConfigurationReader.Read("home.toml", """
            [[sink.mqtt]]
            broker = "embedded"
            topic = "readings"
            publish = "local/{key}"
            qos = 0
            retain = true

            [home-assistant]
            broker = "mqtt://home:1884"
            node = "berlin-7"
            prefix = "ha"
            username = "u"
            password = "p"
            sensors = [{ topic = "readings", key = "kitchen", name = "Kitchen", unit = "°C", device-class = "temperature", value-template = "{{ value }}" }]
            """);
        Assert.Equal(new MqttPublication { Topic = "readings", Publish = "local/{key}", Qos = 0, Retain = true }, Assert.Single(read.EmbeddedSinks));
        HomeAssistantOptions home = read.HomeAssistant!;
        Assert.Equal(("home", 1884, "berlin-7", "ha", "u", "p"), (home.Broker!.Broker.Host, home.Broker.Broker.Port, home.Node, home.Prefix, home.Broker.Username, home.Broker.Password));
        Assert.Equal(
            new HomeAssistantSensor("readings", "kitchen") { Name = "Kitchen", Unit = "°C", DeviceClass = "temperature", ValueTemplate = "{{ value }}" },
            Assert.Single(home.Sensors));
        MqttSinkOptions sink = Assert.Single(read.AllMqttSinks);
        Assert.Equal(("readings", "edgestream/berlin-7/by-key/{topic}/{key}", true, "u"), (sink.Topic, sink.Publish, sink.Retain, sink.Username));
    }

    [Fact]
    public void Sink_that_would_feed_its_own_topic_is_refused()
    {
        ConfigurationException problem = Assert.Throws<ConfigurationException>(() => ConfigurationReader.Read("f", """
            [[source.mqtt]]
            broker = "mqtt://b"
            subscribe = [{ filter = "site/#", topic = "readings" }]

            [[sink.mqtt]]
            broker = "mqtt://b:1883"
            topic = "readings"
            publish = "site/copy/{key}"
            """));
        Assert.Equal(
            "f:8: sink.mqtt.publish: what is published as 'site/copy/{key}' would come back to topic 'readings' by a source, without end; "
            + "publish elsewhere, or narrow the source's filter",
            problem.Message);
    }

    [Fact]
    public void Sink_at_the_nodes_own_broker_needs_one()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "[[sink.mqtt]]\nbroker = \"embedded\"\ntopic = \"t\"\npublish = \"p\"\n");
            Assert.Equal(
                $"{file}:2: sink.mqtt.broker: \"embedded\" needs one [[source.mqtt-broker]], and there are 0",
                Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(file)).Message);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Every_setting_of_a_sink_is_read()
    {
        AgentConfiguration read = ConfigurationReader.Read("sinks.toml", """
            [[sink.gpio]]
            chip = 4
            line = 22
            topic = "commands"
            key = "pump"
            active-low = true
            pulse = "500ms"
            at-stop = "keep"

            [[sink.gpio]]
            chip = "simulated"
            line = 23
            topic = "lamps"
            initial = "on"

            [[sink.mqtt]]
            broker = "mqtts://broker.example"
            client-id = "me"
            protocol = "3.1.1"
            username = "u"
            password = "p"
            ca-file = "/ca.pem"
            topic = "commands"
            publish = "site/{key}"
            qos = 2
            retain = true

            [[sink.mqtt]]
            broker = "mqtt://broker.example"
            topic = "commands"
            publish = "all"
            """);

        Assert.Equal(
            [
                new GpioSinkConfiguration("gpiochip4", new GpioSinkOptions
                {
                    Line = 22, Topic = "commands", Key = "pump", ActiveLow = true, Pulse = TimeSpan.FromMilliseconds(500), AtStop = GpioAtStop.Keep,
                }),
                new GpioSinkConfiguration(null, new GpioSinkOptions { Line = 23, Topic = "lamps", Initial = true }),
            ],
            read.GpioSinks);
        Assert.Equal(
            [
                new MqttSinkOptions
                {
                    Broker = new Uri("mqtts://broker.example"), ClientId = "me", Protocol = MqttProtocol.V311, Username = "u", Password = "p",
                    CaFile = "/ca.pem", Topic = "commands", Publish = "site/{key}", Qos = 2, Retain = true,
                },
                new MqttSinkOptions
                {
                    Broker = new Uri("mqtt://broker.example"), ClientId = $"edgestream-{Environment.MachineName}-commands", Topic = "commands", Publish = "all",
                },
            ],
            read.MqttSinks);
        Assert.Empty(read.SourceTopics);
    }

    [Fact]
    public void Http_can_be_turned_off()
    {
        AgentConfiguration read = ConfigurationReader.Read("x.toml", "[http]\nlisten = \"none\"");
        Assert.Equal(new HttpListen(null, IsChosen: true), read.Http);
    }

    [Fact]
    public void Example_of_the_readme_is_good()
    {
        IEnumerable<string> example = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "README.md"))
            .SkipWhile(line => !line.Contains("with this `edge.toml`", StringComparison.Ordinal))
            .SkipWhile(line => !line.StartsWith("    [[", StringComparison.Ordinal))
            .TakeWhile(line => !line.StartsWith("    edgestream run", StringComparison.Ordinal));

        AgentConfiguration read = ConfigurationReader.Read("README.md", string.Join('\n', example));

        Assert.Equal(["readings", "door"], read.SourceTopics);
    }

    [Fact]
    public void Example_of_a_sink_in_the_readme_is_good()
    {
        IEnumerable<string> example = File.ReadLines(Path.Combine(AppContext.BaseDirectory, "README.md"))
            .SkipWhile(line => !line.Contains("this `relay.toml`", StringComparison.Ordinal))
            .SkipWhile(line => !line.StartsWith("    [[", StringComparison.Ordinal))
            .TakeWhile(line => !line.StartsWith("and the hub", StringComparison.Ordinal));

        AgentConfiguration read = ConfigurationReader.Read("README.md", string.Join('\n', example));

        Assert.Equal([new GpioSinkConfiguration(null, new GpioSinkOptions { Line = 5, Topic = "commands" })], read.GpioSinks);
    }

    [Theory]
    [InlineData("x = 1", "f:1: x: there is no such key; known here: cluster, data, home-assistant, http, sink, socket, source, storage, topic, uplink")]
    [InlineData("[storage]\nbudget = \"1MiB\"", "f:2: storage.budget: storage.budget is 1048576 bytes; a node needs at least 67108864 (64MiB)")]
    [InlineData("[storage]\nbudget = \"lots\"", "f:2: storage.budget: is a size; write for instance \"512MiB\"")]
    [InlineData("[storage]\nengine = \"tape\"", "f:2: storage.engine: 'tape' is not one of log, jetstream")]
    [InlineData("[storage]\nengine = \"jetstream\"", "f:1: storage.nats: is missing; write for instance nats = [")]
    [InlineData("[storage]\nnats = [\"nats://a:4222\"]", "f:2: storage.nats: is for engine = \"jetstream\"")]
    [InlineData("[storage]\nengine = \"jetstream\"\nnats = [\"http://a\"]", "f:3: storage.nats: 'http://a' is no address of a NATS server")]
    [InlineData("[storage]\nengine = \"jetstream\"\nnats = [\"nats://a\"]\nreplicas = 6", "f:4: storage.replicas: must be a whole number from 1 to 5")]
    [InlineData("[storage]\nengine = \"jetstream\"\nnats = [\"nats://a\"]\nuser = \"x\"", "f:1: storage.password: goes with user")]
    [InlineData("[storage]\nengine = \"jetstream\"\nnats = [\"nats://a\"]\nca-file = \"/nowhere\"", "f:4: storage.ca-file: there is no file '/nowhere'")]
    [InlineData("[[topic]]\nname = \"a\"\nretention = { bytes = \"1kB\" }", "f:3: topic.retention: a topic keeps at least 16777216 bytes")]
    [InlineData("[[topic]]\nname = \"a\"\nsync = \"never\"", "f:3: topic.sync: 'never' is neither")]
    [InlineData("[[topic]]\nname = \"a\"\noverflow = \"explode\"", "f:3: topic.overflow: 'explode' is not one of drop-oldest, reject")]
    [InlineData("[topic]\nname = \"a\"", "f:1: topic: write [[topic]] with two brackets: there can be several")]
    [InlineData("[[topic]]\nmirror = true", "f:1: topic.name: is missing")]
    [InlineData("[[topic]]\nname = \"a\"\n\n[[topic]]\n\nmirror = true", "f:6: topic.name: is missing")]
    [InlineData("[[topic]]\nname = \"a\"\nname = \"b\"", "f:3: topic.name: is there twice, first in line 2")]
    [InlineData("[[topic]]\nname = \"a\"\n[[topic]]\nname = \"a\"\nmirror = true", "f:4: topic.name: topic 'a' is there 2 times, first in f:2; once is enough")]
    [InlineData("[[source.sysfs]]\npath = \"/sys/x\"\ntopic = \"a\"\n[[source.sysfs]]\npath = \"/sys/x\"\ntopic = \"a\"", "f:5: source.sysfs.path: '/sys/x' for topic 'a' is there 2 times, first in f:2; once")]
    [InlineData("[[source.command]]\ncommand = [\"m\", \"1\"]\ntopic = \"a\"\n[[source.command]]\ncommand = [\"m\", \"1\"]\ntopic = \"a\"", "f:5: source.command.command: 'm 1' for topic 'a' is there 2 times, first in f:2; once")]
    [InlineData("[[topic]]\nname = ", "f:2: ")]
    [InlineData("[[topic]]\nname = \"a\"\npartitions = 0", "f:3: topic.partitions: must be a whole number from 1 to 1000")]
    [InlineData("[[topic]]\nname = \"a\"\nmirror = true\npartitions = 2", "f:4: topic.partitions: a mirror topic at an edge has one partition")]
    [InlineData("[[topic]]\nname = \"a\"\ncompression = \"rar\"", "f:3: topic.compression: 'rar' is not one of none, gzip, snappy, lz4, zstd")]
    [InlineData("[[topic]]\nname = \"a\"\nlive = true", "f:3: topic.live: is for mirror topics")]
    [InlineData("[[topic]]\nname = \"a\"\npriority = 10", "f:3: topic.priority: must be a whole number from 0 to 9")]
    [InlineData("[uplink]\nbandwidth = \"fast\"", "f:2: uplink.bandwidth: 'fast' is no rate; write for instance \"200kbit/s\"")]
    [InlineData("[uplink]\nbandwidth = \"1kbit/s\"", "f:2: uplink.bandwidth: is less than 8 kbit/s")]
    [InlineData("[uplink]\nfree-hours = \"01:00-05:00\"", "f:2: uplink.free-hours: is for a data-budget, and there is none")]
    [InlineData("[uplink]\ndata-budget = \"1GB\"\nfree-hours = \"1-5\"", "f:3: uplink.free-hours: '1-5' are no hours")]
    [InlineData("[uplink]\nkeep-alive = \"10ms\"", "f:2: uplink.keep-alive: is less than a second")]
    [InlineData("[uplink]\nmax-backoff = \"0s\"", "f:2: uplink.max-backoff: '0s' is no time; write for instance \"500ms\", \"30s\" or \"7d\"")]
    [InlineData("[uplink]\nmax_backoff = \"1s\"", "f:2: uplink.max_backoff: there is no such key; known here: ")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://x\"", "f:1: source.mqtt.subscribe: is missing: which topics, and where they go")]
    [InlineData("[[source.gpio]]\nchip = \"\"\nline = 1\ntopic = \"a\"", "f:2: source.gpio.chip: is missing")]
    [InlineData("[[source.gpio]]\nline = \"a name that is too long for the kernel\"\ntopic = \"a\"", "f:2: source.gpio.line: a GPIO line's name has 1 to 31 characters")]
    [InlineData("[[source.gpio]]\nline = \"17\"\ntopic = \"a\"", "f:2: source.gpio.line: '17' is no name; a number stands without quotes")]
    [InlineData("[[source.gpio]]\nline = 1024\ntopic = \"a\"", "f:2: source.gpio.line: must be a whole number from 0 to 1023")]
    [InlineData("[[source.gpio]]\nline = 1\ntopic = \"a\"\ncount-every = \"1s\"\npoll = \"1s\"", "f:2: source.gpio.line: a line is polled or its pulses are counted")]
    [InlineData("[[source.gpio]]\nline = 1\ntopic = \"a\"\ncount-every = \"1ms\"", "f:2: source.gpio.line: pulses are counted every 100ms to 1d")]
    [InlineData("[[source.gpio]]\nline = 1\ntopic = \"a\"\n[[source.gpio]]\nchip = \"/dev/gpiochip0\"\nline = 1\ntopic = \"b\"", "f:6: source.gpio.line: line 1 of gpiochip0 is wanted by the source for topic 'a' in f:2 and by the source for topic 'b'; give each")]
    [InlineData("[[source.gpio]]\nline = \"GPIO4\"\ntopic = \"a\"\n[[sink.gpio]]\nchip = \"gpiochip0\"\nline = \"GPIO4\"\ntopic = \"b\"", "f:6: sink.gpio.line: line GPIO4 of gpiochip0 is wanted by the source for topic 'a' in f:2 and by the sink for topic 'b'")]
    [InlineData("[[source.gpio]]\nline = 1\ntopic = \"a/b\"", "f:3: source.gpio.topic: 'a/b' cannot be a topic name")]
    [InlineData("[[source.mqtt-broker]]\nlisten = \"1883\"\nsubscribe = [{ filter = \"#\", topic = \"a\" }]", "f:2: source.mqtt-broker.listen: '1883' is no address")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://x\"\nclient-id = \"\"\nsubscribe = [{ filter = \"#\", topic = \"a\" }]", "f:2: source.mqtt.broker: ")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://x\"\nsubscribe = [{ filter = \"#\", topic = \"a\" }]\n[[source.mqtt]]\nbroker = \"mqtt://x\"\nsubscribe = [{ filter = \"b\", topic = \"b\" }]", "f:5: source.mqtt.client-id: 2 sources connect to x:1883")]
    [InlineData("[[source.sysfs]]\ntopic = \"a\"", "f:1: source.sysfs.path: is missing")]
    [InlineData("[[source.sysfs]]\npath = \"temp\"\ntopic = \"a\"", "f:2: source.sysfs.path: 'temp' is no absolute path")]
    [InlineData("[[source.sysfs]]\npath = \"/t\"\ntopic = \"a\"\nscale = \"x\"", "f:4: source.sysfs.scale: must be a number")]
    [InlineData("[[source.sysfs]]\npath = \"/t\"\ntopic = \"a\"\nscale = 1e300", "f:4: source.sysfs.scale: must be a number")]
    [InlineData("[[source.sysfs]]\npath = \"/t\"\ntopic = \"a\"\nat-least-every = \"1h\"", "f:2: source.sysfs.path: at-least-every is for a source with change")]
    [InlineData("[[source.command]]\ntopic = \"a\"", "f:1: source.command.command: is missing: write for instance")]
    [InlineData("[[source.command]]\ncommand = \"ls -l\"\ntopic = \"a\"", "f:2: source.command.command: must be a list of strings")]
    [InlineData("[[source.command]]\ncommand = [\"a\"]\ntopic = \"a\"\nevery = \"1ms\"", "f:2: source.command.command: a program is run every 500ms to 1d")]
    [InlineData("[[source.command]]\ncommand = [\"a\"]\ntopic = \"a\"\nrate-limit = \"fast\"", "f:4: source.command.rate-limit: 'fast' is no number of records; write for instance \"100/s\"")]
    [InlineData("[[source.gpio]]\nline = 1\ntopic = \"a\"\nrate-limit = \"0/s\"", "f:4: source.gpio.rate-limit: '0/s' is no number of records")]
    [InlineData("[[sink.gpio]]\ntopic = \"a\"", "f:1: sink.gpio.line: is missing")]
    [InlineData("[[sink.gpio]]\nline = 1", "f:1: sink.gpio.topic: is missing")]
    [InlineData("[[sink.gpio]]\nline = 1\ntopic = \"a\"\ninitial = \"high\"", "f:4: sink.gpio.initial: 'high' is not one of on, off")]
    [InlineData("[[sink.gpio]]\nline = 1\ntopic = \"a\"\npulse = \"2h\"", "f:2: sink.gpio.line: a pulse is 1ms to 1h long")]
    [InlineData("[[sink.gpio]]\nline = 1\ntopic = \"a\"\nlevel = 1", "f:4: sink.gpio.level: there is no such key; known here: active-low, at-stop, chip, initial, key, line, pulse, topic")]
    [InlineData("[[sink.gpio]]\nline = 1\ntopic = \"a\"\n[[sink.gpio]]\nline = 1\ntopic = \"b\"", "f:5: sink.gpio.line: line 1 of gpiochip0 is wanted by the sink for topic 'a' in f:2 and by the sink for topic 'b'")]
    [InlineData("[[sink.mqtt]]\nbroker = \"http://x\"", "f:2: sink.mqtt.broker: 'http://x' is no broker")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://x\"\ntopic = \"a\"", "f:1: sink.mqtt.publish: is missing")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://x\"\ntopic = \"a\"\npublish = \"a/#\"", "f:2: sink.mqtt.broker: publish 'a/#': an MQTT topic to publish to")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://x\"\ntopic = \"a\"\npublish = \"a\"\nqos = 3", "f:5: sink.mqtt.qos: must be a whole number from 0 to 2")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://localhost\"\nsubscribe = [{ filter = \"#\", topic = \"a\" }]\n[[source.mqtt]]\nbroker = \"mqtt://127.0.0.1:1883\"\nsubscribe = [{ filter = \"b\", topic = \"b\" }]", "f:5: source.mqtt.client-id: 2 sources connect to localhost:1883")]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://127.0.0.1\"\nsubscribe = [{ filter = \"#\", topic = \"a\" }]\n[[sink.mqtt]]\nbroker = \"mqtt://[::1]\"\ntopic = \"a\"\npublish = \"b\"", "f:7: sink.mqtt.publish: what is published as 'b' would come back to topic 'a'")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://x\"\ntopic = \"a\"\npublish = \"a\"\n[[sink.mqtt]]\nbroker = \"mqtt://x\"\ntopic = \"a\"\npublish = \"b\"", "f:6: sink.mqtt.client-id: 2 sinks connect to x:1883")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://x\"\nclient-id = \"me\"\ntopic = \"a\"\npublish = \"a\"\n[[source.mqtt]]\nbroker = \"mqtt://x\"\nclient-id = \"me\"\nsubscribe = [{ filter = \"b\", topic = \"b\" }]", "f:8: source.mqtt.client-id: a source and a sink connect to x:1883 as 'me'")]
    [InlineData("[sink]\nprinter = 1", "f:2: sink.printer: there is no such key; known here: gpio, mqtt")]
    [InlineData("[http]\nlisten = \"9440\"", "f:2: http.listen: '9440' is no address to listen on; write for instance 127.0.0.1:9440, or none")]
    [InlineData("[http]\nlisten = \"127.0.0.1\"", "f:2: http.listen: '127.0.0.1' is no address to listen on; write for instance 127.0.0.1:9440, or none")]
    [InlineData("[http]\nlisten = \"::0\"", "f:2: http.listen: '::0' is no address to listen on")]
    [InlineData("[http]", "f:1: http.listen: is missing")]
    [InlineData("data = 1979-05-27", "f:1: data: a DateTime has no place here")]
    public void Mistake_names_file_line_and_key(string text, string expected)
    {
        string message = Assert.Throws<ConfigurationException>(() => ConfigurationReader.Read("f", text)).Message;

        Assert.StartsWith(expected, message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void Folder_beside_the_file_adds_to_it()
    {
        using var directory = new TemporaryDirectory();
        Directory.CreateDirectory(directory.At("edge.d"));
        File.WriteAllText(directory.At("edge.toml"), "data = \"/data\"\n[[topic]]\nname = \"a\"");
        File.WriteAllText(directory.At("edge.d/20-c.toml"), "[[topic]]\nname = \"c\"");
        File.WriteAllText(directory.At("edge.d/10-b.toml"), "[[topic]]\nname = \"b\"");
        File.WriteAllText(directory.At("edge.d/ignored.bak"), "nonsense");

        Assert.Equal(["a", "b", "c"], ConfigurationFiles.Load(directory.At("edge.toml")).Topics.Select(topic => topic.Name));

        File.WriteAllText(directory.At("edge.d/30-d.toml"), "data = \"/other\"");
        Assert.Contains("30-d.toml", Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(directory.At("edge.toml"))).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("5ms", 5)]
    [InlineData("1.5s", 1500)]
    [InlineData("2m", 120_000)]
    [InlineData("7d", 604_800_000)]
    public void Times_are_read(string text, double milliseconds)
    {
        Assert.True(Quantities.TryParseTime(text, out TimeSpan time));
        Assert.Equal(milliseconds, time.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("5")]
    [InlineData("s")]
    [InlineData("-1s")]
    [InlineData("0s")]
    [InlineData("1e9d")]
    [InlineData("99999999d")]
    [InlineData("NaNs")]
    public void What_is_no_time_is_not_read(string text) => Assert.False(Quantities.TryParseTime(text, out _));
}
