namespace EdgeStream.Harness;

/// <summary>Mosquitto's own clients: somebody else's MQTT, to talk to our broker with.</summary>
public static class MosquittoClient
{
    /// <summary>Runs <c>mosquitto_pub</c> to its end.</summary>
    /// <returns>Its exit code and what it printed.</returns>
    public static async Task<(int Code, string Output)> PublishAsync(int port, params string[] arguments)
    {
        using ChildProcess client = ChildProcess.Start("mosquitto_pub", "/usr/bin/mosquitto_pub", ["-p", $"{port}", .. arguments]);
        await Condition.WaitAsync("mosquitto_pub is done", () => client.HasExited).ConfigureAwait(false);
        return (client.ExitCode, client.Output);
    }

    /// <summary>Starts <c>mosquitto_sub</c>, and waits until the broker has acknowledged what it subscribes to.</summary>
    public static async Task<ChildProcess> SubscribeAsync(int port, params string[] arguments)
    {
        // Without buffering its lines come when they are printed.
        ChildProcess client = ChildProcess.Start(
            "mosquitto_sub", "/usr/bin/stdbuf", ["-oL", "/usr/bin/mosquitto_sub", "-d", "-p", $"{port}", .. arguments]);
        await client.WaitForLineAsync("received SUBACK").ConfigureAwait(false);
        return client;
    }
}
