using System.Net;
using System.Security.Cryptography.X509Certificates;
using MQTTnet;
using MQTTnet.Adapter;
using MQTTnet.Diagnostics.Logger;
using MQTTnet.Formatter;
using MQTTnet.Implementations;
using MQTTnet.Packets;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Makes channels that read a message only once there is a place for it, and no more of it than is taken.</summary>
/// <remarks>
/// MQTTnet puts what it reads into a queue without bound before its handler sees it. In MQTT 5 the receive maximum bounds
/// what the broker sends at QoS 1, but nothing bounds QoS 0, nor anything in MQTT 3.1.1. Waiting here leaves the rest in
/// the socket, and so with the broker.
/// </remarks>
/// <param name="places">Some are taken for each message; whoever is done with the message gives them back.</param>
/// <param name="maxPacketBytes">See <see cref="TrimmingChannel"/>.</param>
internal sealed class GatedChannelFactory(MqttPlaces places, int maxPacketBytes) : IMqttClientAdapterFactory
{
    public IMqttChannelAdapter CreateClientAdapter(MqttClientOptions options, MqttPacketInspector packetInspector, IMqttNetLogger logger)
    {
        var channel = new TrimmingChannel(new MqttTcpChannel(options), maxPacketBytes);
        var formatter = new MqttPacketFormatterAdapter(
            options.ProtocolVersion, new MqttBufferWriter(options.WriterBufferSize, options.WriterBufferSizeMax));
        return new GatedChannel(
            new MqttChannelAdapter(channel, formatter, logger) { AllowPacketFragmentation = options.AllowPacketFragmentation, PacketInspector = packetInspector },
            places);
    }

    private sealed class GatedChannel(IMqttChannelAdapter inner, MqttPlaces places) : IMqttChannelAdapter
    {
        public long BytesReceived => inner.BytesReceived;

        public long BytesSent => inner.BytesSent;

        public X509Certificate2 ClientCertificate => inner.ClientCertificate;

        public EndPoint RemoteEndPoint => inner.RemoteEndPoint;

        public EndPoint LocalEndPoint => inner.LocalEndPoint;

        public bool IsSecureConnection => inner.IsSecureConnection;

        public MqttPacketFormatterAdapter PacketFormatterAdapter => inner.PacketFormatterAdapter;

        public Task ConnectAsync(CancellationToken cancellationToken) => inner.ConnectAsync(cancellationToken);

        public Task DisconnectAsync(CancellationToken cancellationToken) => inner.DisconnectAsync(cancellationToken);

        public async Task<MqttPacket> ReceivePacketAsync(CancellationToken cancellationToken)
        {
            MqttPacket packet = await inner.ReceivePacketAsync(cancellationToken).ConfigureAwait(false);
            if (packet is MqttPublishPacket publish)
                await places.TakeAsync(publish.Payload.Length, cancellationToken).ConfigureAwait(false);

            return packet;
        }

        public void ResetStatistics() => inner.ResetStatistics();

        public Task SendPacketAsync(MqttPacket packet, CancellationToken cancellationToken) =>
            inner.SendPacketAsync(packet, cancellationToken);

        public void Dispose() => inner.Dispose();
    }
}
