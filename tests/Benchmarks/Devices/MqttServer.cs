using System.Diagnostics;
using System.Text.RegularExpressions;
using EdgeStream.Harness;

namespace EdgeStream.Benchmarks.Devices;

/// <summary>
/// Something that takes readings by MQTT and keeps them: EdgeStream, mosquitto (for a subscriber that is away, with persistence), or
/// nats-server (a stream of JetStream). As they come from Debian, nothing tuned but where the data go.
/// </summary>
internal sealed class MqttServer : IDisposable
{
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private readonly TemporaryDirectory _directory = new();
    private readonly List<string> _arguments;
    private readonly string _program;
    private readonly string _ready;
    private ChildProcess? _process;

    private MqttServer(string name, string program, string ready, Func<TemporaryDirectory, int, List<string>> arguments)
    {
        Name = name;
        Port = FreePort.Take();
        _program = program;
        _ready = ready;
        _arguments = arguments(_directory, Port);
    }

    public string Name { get; }

    public int Port { get; }

    public long ProgramBytes => new FileInfo(_program).Length;

    public string Data => _directory.Path;

    public string Socket => _directory.At("s");

    public int ProcessId => _process!.Id;

    public ProcessUsage Usage => ProcessUsage.Of(ProcessId);

    public static MqttServer EdgeStream() => new("EdgeStream", EdgeStreamProgram.Path, "source mqtt-broker.* runs", (directory, port) =>
    {
        File.WriteAllText(directory.At("edge.toml"), $$"""
            [[topic]]
            name = "readings"
            mirror = true
            [[source.mqtt-broker]]
            listen = "127.0.0.1:{{port}}"
            subscribe = [{ filter = "sensors/#", topic = "readings", key = "{topic}" }]
            """);
        return ["run", "--config", directory.At("edge.toml"), "--data", directory.At("data"), "--socket", directory.At("s"), "--http", "none"];
    });

    public static MqttServer Mosquitto() => new("mosquitto", "/usr/sbin/mosquitto", "mosquitto version .* running", (directory, port) =>
    {
        // It drops its rights to user mosquitto unless told otherwise, and then cannot write here.
        File.WriteAllText(directory.At("mosquitto.conf"), $"""
            listener {port} 127.0.0.1
            allow_anonymous true
            user root
            persistence true
            persistence_location {directory.Path}/
            max_queued_messages 0
            """);
        return ["-c", directory.At("mosquitto.conf")];
    });

    public static MqttServer Nats() => new("nats-server", "/usr/sbin/nats-server", "Server is ready", (directory, port) =>
    {
        File.WriteAllText(directory.At("nats.conf"), $$"""
            server_name: edge
            listen: "127.0.0.1:{{FreePort.Take()}}"
            jetstream { store_dir: "{{directory.At("js")}}" }
            mqtt { listen: "127.0.0.1:{{port}}" }
            """);
        return ["-c", directory.At("nats.conf")];
    });

    /// <summary>Starts it; how long it took until it said that it serves.</summary>
    public async Task<TimeSpan> StartAsync()
    {
        long start = Stopwatch.GetTimestamp();
        _process = ChildProcess.Start(Name, _program, _arguments);

        // WaitForLineAsync looks 20 times a second, and a start takes less.
        while (!_process.HasExited && !Regex.IsMatch(_process.Output, _ready) && Stopwatch.GetElapsedTime(start) < Longest)
            await Task.Delay(1);

        TimeSpan time = Stopwatch.GetElapsedTime(start);
        await _process.WaitForLineAsync(_ready);
        return time;
    }

    public async Task StopAsync()
    {
        await _process!.StopAsync();
        _process.Dispose();
    }

    /// <summary>Has what is published kept: EdgeStream does so anyway, the others do it for a subscriber that has been there once.</summary>
    public async Task KeepReadingsAsync()
    {
        if (Name != "EdgeStream")
            await MqttSubscriber.SubscribeAndLeaveAsync(Port, "sensors/#");
    }

    public void Dispose()
    {
        _process?.Dispose();
        _directory.Dispose();
    }
}
