using EdgeStream.Agent.Checks;
using EdgeStream.Agent.Configuration;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests.Checks;

/// <summary>What <c>check</c> says of sources and sinks that would not find what they are configured for.</summary>
public sealed class DeviceChecksTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Lines_of_the_node_that_runs_are_its_own_and_others_are_looked_for()
    {
        AgentConfiguration configuration = ConfigurationReader.Read("f", """
            [[source.gpio]]
            chip = 99
            line = 3
            topic = "door"
            [[source.gpio]]
            chip = 99
            line = "GPIO4"
            topic = "door"
            [[sink.gpio]]
            chip = 99
            line = 5
            topic = "lamp"
            [[source.gpio]]
            chip = "simulated"
            line = 6
            topic = "door"
            """);
        var running = new NodeStatus
        {
            Sources =
            {
                new SourceStatus { Name = "gpio gpiochip99/3", State = "running" },
                new SourceStatus { Name = "gpio gpiochip99/GPIO4", State = "waiting" },
            },
        };
        IReadOnlyList<Finding> found = await DeviceChecks.RunAsync(configuration, running, TestContext.Current.CancellationToken);

        // Whether this machine has libgpiod is not the question here.
        Assert.Equal(
            [
                new Finding("gpio", Verdict.Ok, "line 3 of gpiochip99 is in use by this node"),
                new Finding("gpio", Verdict.Warning, "there is no /dev/gpiochip99; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none"),
            ],
            found.Where(one => !one.Message.Contains("libgpiod", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Files_programs_and_certificates_that_are_not_there_are_told_with_the_cure()
    {
        File.WriteAllText(_directory.At("temp"), "21500\n");
        File.WriteAllText(_directory.At("text"), "hello\n");
        AgentConfiguration configuration = ConfigurationReader.Read("f", $$"""
            [[source.sysfs]]
            path = "{{_directory.Path}}/te*"
            topic = "a"
            [[source.sysfs]]
            path = "{{_directory.Path}}/temp"
            topic = "a"
            [[source.sysfs]]
            path = "{{_directory.Path}}/28-*/w1_slave"
            topic = "a"
            [[source.command]]
            command = ["no-such-meter"]
            topic = "a"
            [[source.command]]
            command = ["{{_directory.Path}}/text"]
            topic = "a"
            [[source.command]]
            command = ["sh", "-c", "true"]
            topic = "a"
            [[source.mqtt]]
            broker = "mqtts://localhost"
            ca-file = "/no/ca"
            subscribe = [{ filter = "a", topic = "a" }]
            [[source.mqtt-broker]]
            tls-listen = "127.0.0.1:8883"
            cert-file = "/no/cert"
            key-file = "/no/key"
            subscribe = [{ filter = "a", topic = "a" }]
            """);
        Assert.Equal(
            [
                new Finding("sysfs", Verdict.Warning, $"'{_directory.Path}/text': 'hello' is no number"),
                new Finding("sysfs", Verdict.Ok, $"'{_directory.Path}/temp' can be read"),
                new Finding("sysfs", Verdict.Warning, $"no file is called '{_directory.Path}/28-*/w1_slave'; is the sensor plugged in and its driver loaded?"),
                new Finding("command", Verdict.Warning, "there is no program 'no-such-meter'; give its whole path, or install it"),
                new Finding("command", Verdict.Warning, $"'{_directory.Path}/text' is no program; 'chmod +x {_directory.Path}/text' makes it one"),
                new Finding("command", Verdict.Ok, "'sh' can be run"),
                new Finding("certificate", Verdict.Warning, "ca-file '/no/ca' does not exist; put it there, or correct the setting"),
                new Finding("certificate", Verdict.Warning, "cert-file '/no/cert' does not exist; put it there, or correct the setting"),
            ],
            await DeviceChecks.RunAsync(configuration, null, TestContext.Current.CancellationToken));
    }
}
