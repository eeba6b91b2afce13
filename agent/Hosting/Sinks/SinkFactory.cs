using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Hosting.Sinks;

/// <summary>Makes the sinks that are configured. A new kind of sink is added here and in <see cref="SinkReader"/>.</summary>
internal static class SinkFactory
{
    /// <param name="configuration">What is configured.</param>
    /// <param name="feed">Where records come from.</param>
    /// <param name="broker">The node's own; there where a sink publishes at it.</param>
    /// <param name="loggers">For each.</param>
    public static IReadOnlyList<ConfiguredDevice> Create(AgentConfiguration configuration, IRecordFeed feed, EmbeddedBroker? broker, ILoggerFactory loggers)
    {
        TimeProvider time = TimeProvider.System;
        return
        [
            .. configuration.GpioSinks.Select(line => new ConfiguredDevice(line, () => new GpioSink(
                line.Chip ?? "simulated",
                () => line.Chip is { } chip
                    ? GpioChip.Open(chip, line.Line.Line)
                    : (new SimulatedGpioDriver(), SimulatedGpioDriver.NumberOf(line.Line.Line)),
                line.Line, feed, time, loggers.CreateLogger<GpioSink>()))),
            .. configuration.AllMqttSinks.Select(options => new ConfiguredDevice(
                options, () => new MqttClientSink(options, feed, time, loggers.CreateLogger<MqttClientSink>()))),

            // With another broker, another sink: it publishes at the one that it was made with.
            .. configuration.AllEmbeddedSinks.Select(publication => new ConfiguredDevice(
                (publication, broker), () => new EmbeddedBrokerSink(publication, broker!, feed, loggers.CreateLogger<EmbeddedBrokerSink>()))),
        ];
    }
}
