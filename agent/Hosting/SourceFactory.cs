using System.Device.Gpio;
using EdgeStream.Agent.Configuration;
using EdgeStream.Devices;
using EdgeStream.Devices.Commands;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Devices.Sysfs;

namespace EdgeStream.Agent.Hosting;

/// <summary>Makes the sources that are configured. A new kind of source is added here and in the configuration reader.</summary>
internal static class SourceFactory
{
    public static IReadOnlyList<ConfiguredDevice> Create(AgentConfiguration configuration, IRecordSink sink, IDeviceFiles files, ILoggerFactory loggers)
    {
        TimeProvider time = TimeProvider.System;
        return
        [
            .. configuration.MqttBrokers.Select(options => new ConfiguredDevice(options, () => new EmbeddedBroker(
                options, Limited(options.RateLimit, AboveLimit.Wait), time, loggers.CreateLogger<EmbeddedBroker>(), files))),
            .. configuration.MqttSources.Select(options => new ConfiguredDevice(options, () => new MqttClientSource(
                options, Limited(options.RateLimit, AboveLimit.Wait), time, loggers.CreateLogger<MqttClientSource>(), files))),
            .. configuration.GpioLines.Select(line => new ConfiguredDevice(line, () => Create(
                line, Limited(line.Line.RateLimit, AboveLimit.Drop), time, loggers))),
            .. configuration.SysfsSources.Select(options => new ConfiguredDevice(options, () => new SysfsSource(
                options, Limited(options.RateLimit, AboveLimit.Drop), time, loggers.CreateLogger<SysfsSource>()))),
            .. configuration.Commands.Select(options => new ConfiguredDevice(options, () => new CommandSource(
                options, Limited(options.RateLimit, AboveLimit.Drop), time, loggers.CreateLogger<CommandSource>()))),
        ];

        // Behind MQTT somebody can be made to wait. A sensor cannot, and what it says is soon out of date.
        IRecordSink Limited(RateLimit? limit, AboveLimit above) => limit is { } rate ? new LimitedSink(sink, rate, above, time) : sink;
    }

    private static GpioSource Create(GpioConfiguration configured, IRecordSink sink, TimeProvider time, ILoggerFactory loggers)
    {
        GpioLineOptions options = configured.Line;
        return new GpioSource(configured.Chip ?? "simulated", Open, options, sink, time, loggers.CreateLogger<GpioSource>());

        IInputLine Open()
        {
            if (configured.Chip is not { } chip)
                return new DriverLine(new SimulatedGpioDriver(configured.SimulatedPeriod, time), SimulatedGpioDriver.NumberOf(options.Line), options, time);

            if (options.Poll is null)
                return GpioChip.OpenInput(chip, options);

            (GpioDriver driver, int line) = GpioChip.Open(chip, options.Line);
            return new DriverLine(driver, line, options, time);
        }
    }
}
