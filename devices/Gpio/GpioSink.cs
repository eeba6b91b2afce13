using System.Device.Gpio;
using System.Text;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// Switches one output line as records say: <c>on</c>, <c>1</c>, <c>true</c>, <c>high</c>; <c>off</c>, <c>0</c>, <c>false</c>,
/// <c>low</c>; <c>toggle</c>. What says anything else is refused, and the sink goes on.
/// </summary>
/// <param name="chipName">What people call the chip.</param>
/// <param name="open">Opens the chip and finds the line's number; called at each run, and the driver disposed at its end.</param>
/// <param name="options">The line.</param>
/// <param name="feed">Where the records come from.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Told what is switched and what is refused.</param>
public sealed class GpioSink(
    string chipName,
    Func<(GpioDriver Driver, int Line)> open,
    GpioSinkOptions options,
    IRecordFeed feed,
    TimeProvider time,
    ILogger<GpioSink> logger)
    : ISink
{
    private const int MaxShownLength = 40;

    private readonly byte[]? _key = options.Key is null ? null : Encoding.UTF8.GetBytes(options.Key);
    private readonly BoundedLogger _warnings = new($"gpio {chipName}/{options.Line}", time, logger);
    private bool _isOn;

    public string Name { get; } = $"gpio {chipName}/{options.Validated().Line}";

    public string Topic => options.Topic;

    public SourceCounters Counters { get; } = new(time);

    public async Task RunAsync(Action running, CancellationToken cancellationToken)
    {
        (GpioDriver driver, int number) = open();
        using var controller = new GpioController(driver);
        GpioPin pin;
        try
        {
            pin = controller.OpenPin(number, PinMode.Output, Level(options.Initial));
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            throw new IOException($"line {options.Line} of {chipName} cannot be opened ({error.Message}); 'gpioinfo' shows who has it", error);
        }

        _isOn = options.Initial;
        try
        {
            running();
            await feed.FollowAsync(this, (record, token) => ActAsync(pin, record, token), cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            // Also where the feed has failed: nobody switches the line until the next run.
            if (options.AtStop != GpioAtStop.Keep)
                Switch(pin, options.AtStop is { } state ? state == GpioAtStop.On : options.Initial);
        }
    }

    /// <summary>What a record says: true for on, false for off, the opposite of what is for toggle; null for anything else.</summary>
    internal static bool? Read(ReadOnlySpan<byte> value, bool isOn) => Encoding.UTF8.GetString(value).Trim().ToUpperInvariant() switch
    {
        "ON" or "1" or "TRUE" or "HIGH" => true,
        "OFF" or "0" or "FALSE" or "LOW" => false,
        "TOGGLE" => !isOn,
        _ => null,
    };

    private async ValueTask ActAsync(GpioPin pin, SinkRecord record, CancellationToken cancellationToken)
    {
        if (_key is not null && !(record.Key is { } key && key.Span.SequenceEqual(_key)))
            return;

        if (Read(record.Value.Span, _isOn) is not { } on)
        {
            string reason = $"'{Shown(record.Value.Span)}' at offset {record.Offset} of {record.Topic} is none of on, off, toggle";
            Counters.AddDropped(reason);
            _warnings.LogWarning("{Name}: {Reason}; it was passed over", Name, reason);
            return;
        }

        Switch(pin, on);
        logger.LogInformation("{Name} is {State} ({Topic}, offset {Offset})", Name, on ? "on" : "off", record.Topic, record.Offset);
        if (on && options.Pulse is { } pulse)
        {
            // A stop ends the pulse early rather than leave the line on; it was one all the same.
            await Task.Delay(pulse, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Switch(pin, on: false);
        }

        Counters.AddStored();
    }

    private void Switch(GpioPin pin, bool on)
    {
        pin.Write(Level(on));
        _isOn = on;
    }

    private PinValue Level(bool on) => on != options.ActiveLow ? PinValue.High : PinValue.Low;

    /// <summary>For a message of one line.</summary>
    private static string Shown(ReadOnlySpan<byte> value)
    {
        string text = Encoding.UTF8.GetString(value.Length > MaxShownLength ? value[..MaxShownLength] : value);
        return string.Concat(text.Select(c => char.IsControl(c) ? '?' : c)) + (value.Length > MaxShownLength ? "…" : "");
    }
}
