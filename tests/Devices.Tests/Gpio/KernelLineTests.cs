using System.Collections.Concurrent;
using System.IO.Pipes;
using System.Runtime.InteropServices;
using EdgeStream.Devices.Gpio;
using EdgeStream.Devices.Gpio.Uapi;
using EdgeStream.Harness;
using Microsoft.Win32.SafeHandles;

namespace EdgeStream.Devices.Tests.Gpio;

/// <summary>The reader of a line's events, over a pipe into which the test writes what the kernel would.</summary>
public sealed class KernelLineTests : IDisposable
{
    private readonly AnonymousPipeServerStream _kernel = new(PipeDirection.Out);
    private readonly ConcurrentQueue<LineChange> _seen = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly KernelLine _line;

    public KernelLineTests()
    {
        SafePipeHandle read = _kernel.ClientSafePipeHandle;
        _line = new KernelLine(17, new SafeFileHandle(read.DangerousGetHandle(), ownsHandle: false));
    }

    public void Dispose()
    {
        _line.Dispose();
        _kernel.Dispose();
        _stop.Dispose();
    }

    [Fact]
    public async Task Events_become_changes_with_the_kernels_time()
    {
        Task watching = _line.WatchAsync(_seen.Enqueue, _stop.Token);
        Write(Event(1, rising: true, seconds: 5), Event(2, rising: false, seconds: 6));
        await Condition.WaitAsync("both are seen", () => _seen.Count == 2);
        Assert.Equal([new LineChange(true, TimeSpan.FromSeconds(5)), new LineChange(false, TimeSpan.FromSeconds(6))], _seen);
        await _stop.CancelAsync();
        await watching;
    }

    [Fact]
    public async Task Numbers_that_are_missing_are_lost_changes()
    {
        Task watching = _line.WatchAsync(_seen.Enqueue, _stop.Token);
        Write(Event(1, true, 1), Event(2, true, 2), Event(10, true, 3));
        await Condition.WaitAsync("three are seen", () => _seen.Count == 3);
        Assert.Equal([0, 0, 7], _seen.Select(change => change.Lost));
        Write(Event(11, true, 4));
        await Condition.WaitAsync("one more is seen", () => _seen.Count == 4);
        Assert.Equal(0, _seen.Last().Lost);
        await _stop.CancelAsync();
        await watching;
    }

    [Fact]
    public async Task What_came_before_a_stop_is_handed_over()
    {
        Write([.. Enumerable.Range(1, 100).Select(i => Event((uint)i, true, i))]);
        await _stop.CancelAsync();
        await _line.WatchAsync(_seen.Enqueue, _stop.Token);
        Assert.Equal(100, _seen.Count);
    }

    [Fact]
    public async Task Line_that_is_gone_is_an_error()
    {
        Task watching = _line.WatchAsync(_seen.Enqueue, _stop.Token);
        _kernel.Dispose();
        Assert.Equal("line 17 is gone; is its chip still plugged in?", (await Assert.ThrowsAsync<IOException>(() => watching)).Message);
    }

    private static GpioLineEvent Event(uint number, bool rising, int seconds) => new()
    {
        TimestampNs = (ulong)seconds * 1_000_000_000,
        Id = rising ? 1u : 2u,
        Offset = 17,
        Sequence = number,
        LineSequence = number,
    };

    private void Write(params GpioLineEvent[] events)
    {
        _kernel.Write(MemoryMarshal.AsBytes<GpioLineEvent>(events));
        _kernel.Flush();
    }
}
