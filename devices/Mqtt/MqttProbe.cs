using MQTTnet;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Asks a broker whether it would let this node in.</summary>
public static class MqttProbe
{
    /// <summary>
    /// Connects as a source or sink would, with its login and certificates, and leaves again: under a client id of its own, as the node may
    /// be connected under the real one, and without a trace.
    /// </summary>
    /// <returns>Null where the broker lets this node in; else what is wrong, in one line.</returns>
    /// <exception cref="OperationCanceledException">Told to stop.</exception>
    public static async Task<string?> FindProblemAsync(MqttBrokerOptions broker, TimeProvider time, CancellationToken cancellationToken)
    {
        MqttBrokerOptions probe = broker with { ClientId = $"{broker.ClientId}-check" };
        using IMqttClient client = new MqttClientFactory().CreateMqttClient();
        try
        {
            await MqttConnection.ConnectAsync(client, probe, MqttConnection.Options(probe).WithCleanStart(), broker.Address, time, cancellationToken)
                .ConfigureAwait(false);
            await client.DisconnectAsync(new MqttClientDisconnectOptions(), cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (IOException error)
        {
            return error.Message;
        }
    }
}
