using System.Device.Gpio;

namespace EdgeStream.Devices.Gpio;

/// <summary>
/// An input line by a driver of System.Device.Gpio: for levels that are polled, and for simulated chips. A change has the time at
/// which the driver tells it.
/// </summary>
public sealed class DriverLine : IInputLine
{
    private readonly GpioController _controller;
    private readonly GpioLineOptions _options;
    private readonly TimeProvider _time;

    /// <param name="driver">The chip; disposed with the line.</param>
    /// <param name="number">The line's number there.</param>
    /// <param name="options">How it is read.</param>
    /// <param name="time">The clock.</param>
    /// <exception cref="IOException">The line cannot be opened.</exception>
    public DriverLine(GpioDriver driver, int number, GpioLineOptions options, TimeProvider time)
    {
        (Number, _options, _time) = (number, options, time);
        _controller = new GpioController(driver);
        PinMode mode = options.Pull switch
        {
            GpioPull.Up => PinMode.InputPullUp,
            GpioPull.Down => PinMode.InputPullDown,
            _ => PinMode.Input,
        };
        try
        {
            _controller.OpenPin(number, mode);
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            _controller.Dispose();
            throw new IOException($"line {number} cannot be opened ({error.Message}); 'gpioinfo' shows who has it", error);
        }
    }

    public int Number { get; }

    public bool Read() => (_controller.Read(Number) == PinValue.High) != _options.ActiveLow;

    public async Task WatchAsync(Action<LineChange> seen, CancellationToken cancellationToken)
    {
        PinEventTypes edges = (_options.WatchedEdge, _options.ActiveLow) switch
        {
            (GpioEdge.Both, _) => PinEventTypes.Rising | PinEventTypes.Falling,
            (GpioEdge.Rising, false) or (GpioEdge.Falling, true) => PinEventTypes.Rising,
            _ => PinEventTypes.Falling,
        };
        _controller.RegisterCallbackForPinValueChangedEvent(Number, edges, OnChange);
        try
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            _controller.UnregisterCallbackForPinValueChangedEvent(Number, OnChange);
        }

        void OnChange(object sender, PinValueChangedEventArgs change) =>
            seen(new LineChange((change.ChangeType == PinEventTypes.Rising) != _options.ActiveLow, _time.GetElapsedTime(0)));
    }

    public void Dispose() => _controller.Dispose();
}
