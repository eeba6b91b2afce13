using System.Collections.Concurrent;
using System.Device.Gpio;
using System.Globalization;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// A chip that is not there, for machines without GPIO: a real driver to System.Device.Gpio, whose inputs are driven by code
/// or toggle by themselves, and whose outputs can be looked at. Safe from any thread; callbacks come one at a time, in the order of the changes.
/// </summary>
public sealed class SimulatedGpioDriver : GpioDriver
{
    private readonly ConcurrentDictionary<int, Line> _lines = new();
    private readonly ITimer? _toggle;
    private readonly Lock _driving = new();

    private sealed class Line
    {
        public PinMode Mode = PinMode.Input;
        public PinValue Value = PinValue.Low;
        public PinEventTypes Wanted;
        public PinChangeEventHandler? Changed;
    }

    public SimulatedGpioDriver()
    {
    }

    /// <summary>A chip whose open inputs all toggle once each <paramref name="period"/>.</summary>
    public SimulatedGpioDriver(TimeSpan period, TimeProvider time) => _toggle = time.CreateTimer(_ => ToggleAll(), null, period, period);

    protected override int PinCount => 1024;

    /// <summary>The number of a line; those with names are <c>GPIO0</c>, <c>GPIO1</c> and so on.</summary>
    /// <exception cref="IOException">There is no such line.</exception>
    public static int NumberOf(LineId line)
    {
        if (line.Name is not { } name)
            return line.Number;

        return name.StartsWith("GPIO", StringComparison.Ordinal) && int.TryParse(name.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw new IOException($"a simulated chip's lines are GPIO0, GPIO1 and so on, and none is '{name}'");
    }

    /// <summary>Sets the level of an input from outside, as a switch would.</summary>
    public void Drive(int line, PinValue value)
    {
        lock (_driving)
        {
            Line driven = _lines.GetOrAdd(line, _ => new Line());
            if (driven.Value == value)
                return;

            driven.Value = value;
            PinEventTypes change = value == PinValue.High ? PinEventTypes.Rising : PinEventTypes.Falling;
            if ((driven.Wanted & change) != 0)
                driven.Changed?.Invoke(this, new PinValueChangedEventArgs(change, line));
        }
    }

    /// <summary>The level of a line, as a lamp on it would show; low where nobody has opened it.</summary>
    public PinValue LevelOf(int line) => _lines.TryGetValue(line, out Line? known) ? known.Value : PinValue.Low;

    protected override void OpenPin(int pinNumber) => _lines.TryAdd(pinNumber, new Line());

    protected override void ClosePin(int pinNumber)
    {
    }

    protected override void SetPinMode(int pinNumber, PinMode mode) => _lines[pinNumber].Mode = mode;

    protected override PinMode GetPinMode(int pinNumber) => _lines[pinNumber].Mode;

    protected override bool IsPinModeSupported(int pinNumber, PinMode mode) => true;

    protected override PinValue Read(int pinNumber) => _lines[pinNumber].Value;

    protected override void Write(int pinNumber, PinValue value) => _lines[pinNumber].Value = value;

    protected override WaitForEventResult WaitForEvent(int pinNumber, PinEventTypes eventTypes, CancellationToken cancellationToken) =>
        throw new NotSupportedException("register a callback instead");

    protected override void AddCallbackForPinValueChangedEvent(int pinNumber, PinEventTypes eventTypes, PinChangeEventHandler callback)
    {
        lock (_driving)
        {
            _lines[pinNumber].Wanted |= eventTypes;
            _lines[pinNumber].Changed += callback;
        }
    }

    protected override void RemoveCallbackForPinValueChangedEvent(int pinNumber, PinChangeEventHandler callback)
    {
        lock (_driving)
            _lines[pinNumber].Changed -= callback;
    }

    protected override void Dispose(bool disposing)
    {
        _toggle?.Dispose();
        base.Dispose(disposing);
    }

    private void ToggleAll()
    {
        foreach ((int number, Line line) in _lines)
            Drive(number, line.Value == PinValue.High ? PinValue.Low : PinValue.High);
    }
}
