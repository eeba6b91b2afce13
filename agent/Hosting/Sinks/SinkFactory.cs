using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Hosting.Sinks;

/// <summary>Makes the sinks that are configured. A new kind of sink is added here and in <see cref="SinkReader"/>.</summary>
internal static class SinkFactory
{
    public static IReadOnlyList<ConfiguredDevice> Create(AgentConfiguration configuration, IRecordFeed feed, ILoggerFactory loggers)
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
            .. configuration.MqttSinks.Select(options => new ConfiguredDevice(
                options, () => new MqttClientSink(options, feed, time, loggers.CreateLogger<MqttClientSink>()))),
        ];
    }
}
