using System.Text;
using EdgeStream.Agent.Configuration;
using EdgeStream.Harness;
using EdgeStream.Mirror.Uplink;

namespace EdgeStream.Agent.Tests.Configuration;

/// <summary>Several files make one configuration.</summary>
public sealed class ConfigurationFilesTests : IDisposable
{
    private const string Broker = "[[source.mqtt-broker]]\nsubscribe = [{ filter = \"s/#\", topic = \"t\" }]\n";

    private readonly TemporaryDirectory _directory = new();

    private string Main => _directory.At("edgestream.toml");

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Drop_in_without_uplink_leaves_that_of_the_main_file()
    {
        File.WriteAllText(Main, "[uplink]\nlinger = \"3s\"\n[[topic]]\nname = \"a\"\npriority = 1\n");
        DropIn("10-topic.toml", "[[topic]]\nname = \"b\"\npriority = 2\n");

        UplinkOptions uplink = ConfigurationFiles.Load(Main).Uplink;
        Assert.Equal(TimeSpan.FromSeconds(3), uplink.Linger);
        Assert.Equal([("a", 1), ("b", 2)], uplink.Priorities.Select(entry => (entry.Key, entry.Value)));
    }

    [Fact]
    public void Wrong_type_in_a_drop_in_names_that_file_and_line()
    {
        File.WriteAllText(Main, Broker);
        string path = DropIn("10-door.toml", "\n[[source.gpio]]\nline = \"17\"\ntopic = \"door\"\n");

        var problem = Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(Main));
        Assert.StartsWith($"{path}:3: ", problem.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', problem.Message);
    }

    [Theory]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://localhost\"\nsubscribe = [{ filter = \"a\", topic = \"t\" }]", "source.mqtt.broker: mqtt://localhost/ is this node's own broker")]
    [InlineData("[[sink.mqtt]]\nbroker = \"mqtt://127.0.0.1:1883\"\ntopic = \"t\"\npublish = \"out\"", "sink.mqtt.broker: mqtt://127.0.0.1:1883/ is this node's own broker; write broker = \"embedded\"")]
    public void Own_broker_is_not_connected_to_as_if_it_were_another(string client, string problem)
    {
        File.WriteAllText(Main, Broker);
        string path = DropIn("10-client.toml", client);
        Assert.StartsWith($"{path}:2: {problem}", Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(Main)).Message, StringComparison.Ordinal);
        DropIn("10-client.toml", client.Replace("localhost", "localhost:1884", StringComparison.Ordinal).Replace(":1883", ":1884", StringComparison.Ordinal));
        ConfigurationFiles.Load(Main);
    }

    [Fact]
    public void Settings_that_are_read_twice_are_equal()
    {
        File.WriteAllText(Main, Broker + "username = \"u\"\npassword = \"p\"\n[[source.mqtt]]\nbroker = \"mqtt://h\"\nsubscribe = [{ filter = \"a\", topic = \"t\" }]\n");
        AgentConfiguration one = ConfigurationFiles.Load(Main), two = ConfigurationFiles.Load(Main);
        Assert.Equal<object>(one.MqttBrokers[0], two.MqttBrokers[0]);
        Assert.Equal<object>(one.MqttSources[0], two.MqttSources[0]);
        Assert.Equal(one.Uplink, two.Uplink);

        File.WriteAllText(Main, Broker.Replace("s/#", "s/+", StringComparison.Ordinal));
        Assert.NotEqual<object>(one.MqttBrokers[0], ConfigurationFiles.Load(Main).MqttBrokers[0]);
    }

    [Fact]
    public void Line_that_two_files_want_is_told_with_both_places()
    {
        File.WriteAllText(Main, "[[sink.gpio]]\nline = 17\ntopic = \"lamp\"\n");
        string path = DropIn("10-door.toml", "\n[[source.gpio]]\ntopic = \"door\"\nline = 17\n");
        var problem = Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(Main));
        Assert.Equal(
            $"{path}:4: source.gpio.line: line 17 of gpiochip0 is wanted by the sink for topic 'lamp' in {Main}:2 and by the source for topic 'door'; "
            + "give each a line of its own",
            problem.Message);
        Assert.Equal(path, problem.File);
    }

    [Theory]
    [InlineData("# küche\n[[topic]]\nname = \"k\"\n", 0xFC, 1, 4)]
    [InlineData("[[source.mqtt]]\nbroker = \"mqtt://h\"\nusername = \"jürgen\"\nsubscribe = [{ filter = \"a\", topic = \"t\" }]\n", 0xFC, 3, 14)]
    public void File_that_is_no_utf8_is_told_with_the_place(string text, int wrong, int line, int position)
    {
        File.WriteAllText(Main, Broker);
        string path = DropIn("10-kitchen.toml", "");
        File.WriteAllBytes(path, Encoding.Latin1.GetBytes(text));
        var problem = Assert.Throws<ConfigurationException>(() => ConfigurationFiles.Load(Main));
        Assert.Equal($"{path}:{line}: is not UTF-8 (byte 0x{wrong:X2} at position {position} of the line); save the file as UTF-8", problem.Message);

        File.WriteAllText(path, text, new UTF8Encoding(encoderShouldEmitUTF8Identifier: true));
        ConfigurationFiles.Load(Main);
    }

    private string DropIn(string name, string text)
    {
        string path = _directory.At($"edgestream.d/{name}");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }
}
