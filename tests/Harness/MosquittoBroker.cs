namespace EdgeStream.Harness;

/// <summary>A real Mosquitto with a data directory that outlives it.</summary>
public sealed class MosquittoBroker : IDisposable
{
    private readonly string _directory;
    private readonly string _configuration;
    private ChildProcess? _process;

    /// <param name="directory">Where it keeps its files.</param>
    /// <param name="settings">More lines of its configuration, for its listener and for all of it.</param>
    public MosquittoBroker(string directory, params string[] settings)
    {
        _directory = Path.Combine(directory, "mosquitto");
        Directory.CreateDirectory(_directory);
        Port = FreePort.Take();
        _configuration = Path.Combine(_directory, "mosquitto.conf");

        // It drops its rights to user mosquitto unless told otherwise, and then cannot write here.
        File.WriteAllText(_configuration, $"""
            listener {Port} 127.0.0.1
            allow_anonymous true
            user root
            persistence true
            persistence_location {_directory}/
            autosave_interval 1800
            max_queued_messages 0
            max_inflight_messages 1000
            {string.Join('\n', settings)}
            """);
    }

    public int Port { get; }

    /// <summary>Its own log: what it sent to whom, and what was acknowledged.</summary>
    public string Output => _process?.Output ?? "";

    public async Task StartAsync()
    {
        _process?.Dispose();
        _process = ChildProcess.Start("mosquitto", "/usr/sbin/mosquitto", ["-v", "-c", _configuration]);
        await _process.WaitForLineAsync("mosquitto version .* running").ConfigureAwait(false);
    }

    public void Kill() => _process!.Kill();

    /// <summary>As a machine that hangs: connections stay open, and nobody answers. Until it is killed.</summary>
    public void Freeze() => _process!.Signal("STOP");

    /// <summary>
    /// Lets it write its sessions and queued messages to disk. Mosquitto acknowledges a message before it saves it: without
    /// this a killed one has lost what it acknowledged since.
    /// </summary>
    public async Task SaveAsync()
    {
        string database = Path.Combine(_directory, "mosquitto.db");
        DateTime before = File.Exists(database) ? File.GetLastWriteTimeUtc(database) : DateTime.MinValue;
        _process!.Signal("USR1");
        await Condition.WaitAsync("mosquitto has saved", () => File.Exists(database) && File.GetLastWriteTimeUtc(database) > before)
            .ConfigureAwait(false);
    }

    public void Dispose() => _process?.Dispose();
}
