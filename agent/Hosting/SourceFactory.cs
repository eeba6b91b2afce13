using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;

namespace EdgeStream.Agent.Hosting;

/// <summary>Makes the sources that are configured. A new kind of source is added here and in the configuration reader.</summary>
internal static class SourceFactory
{
    public static IReadOnlyList<ConfiguredDevice> Create(AgentConfiguration configuration, IRecordSink sink, ILoggerFactory loggers)
    {
        TimeProvider time = TimeProvider.System;
        return
        [
            .. configuration.MqttBrokers.Select(options => new ConfiguredDevice(
                options, () => new EmbeddedBroker(options, sink, time, loggers.CreateLogger<EmbeddedBroker>()))),
            .. configuration.MqttSources.Select(options => new ConfiguredDevice(
                options, () => new MqttClientSource(options, sink, time, loggers.CreateLogger<MqttClientSource>()))),
            .. configuration.GpioLines.Select(line => new ConfiguredDevice(line, () => Create(line, sink, time, loggers))),
        ];
    }

    private static GpioSource Create(GpioConfiguration line, IRecordSink sink, TimeProvider time, ILoggerFactory loggers) =>
        line.Chip is { } chip
            ? new GpioSource($"gpiochip{chip}", () => GpioChip.Open(chip), line.Line, sink, time, loggers.CreateLogger<GpioSource>())
            : new GpioSource(
                "simulated", () => new SimulatedGpioDriver(line.SimulatedPeriod, time), line.Line, sink, time, loggers.CreateLogger<GpioSource>());
}
