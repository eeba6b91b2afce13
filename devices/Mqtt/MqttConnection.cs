using System.Security.Cryptography.X509Certificates;
using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt;

/// <summary>How a source's options become a connection of the MQTT library.</summary>
internal static class MqttConnection
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    public static MqttClientOptions ClientOptions(MqttSourceOptions options)
    {
        bool tls = options.Broker.Scheme == "mqtts";
        MqttClientOptionsBuilder builder = new MqttClientOptionsBuilder()
            .WithTcpServer(options.Broker.Host, options.Port)
            .WithClientId(options.ClientId)
            .WithKeepAlivePeriod(options.KeepAlive)
            .WithTimeout(Timeout);

        // The session outlives the connection: what is published meanwhile waits at the broker.
        if (options.Protocol == MqttProtocol.V5)
        {
            builder.WithProtocolVersion(MqttProtocolVersion.V500)
                .WithCleanStart(false)
                .WithSessionExpiryInterval(uint.MaxValue)
                .WithReceiveMaximum((ushort)options.MaxInFlight);
        }
        else
        {
            builder.WithProtocolVersion(MqttProtocolVersion.V311).WithCleanSession(false);
        }

        if (options.Username is not null)
            builder.WithCredentials(options.Username, options.Password ?? "");

        if (tls)
        {
            builder.WithTlsOptions(security =>
            {
                security.UseTls().WithTargetHost(options.Broker.Host);
                if (options.CaFile is { } file)
                {
                    var authority = new X509Certificate2Collection();
                    authority.ImportFromPemFile(file);
                    security.WithTrustChain(authority);
                }
            });
        }

        return builder.Build();
    }

    /// <summary>All filters, with QoS 1. Subscribing again to what the session has already is harmless.</summary>
    public static MqttClientSubscribeOptions Subscriptions(MqttSourceOptions options)
    {
        var builder = new MqttClientSubscribeOptionsBuilder();
        foreach (string filter in options.Rules.Select(rule => rule.Filter).Distinct())
            builder.WithTopicFilter(filter, MqttQualityOfServiceLevel.AtLeastOnce);

        return builder.Build();
    }
}
