using System.Diagnostics;

namespace EdgeStream.Harness.Network;

/// <summary>
/// A slow or long stretch in the path between two interfaces of a router. Packets go through this process, which holds each back
/// for as long as the link would: programs at both ends keep their own TCP connections, with all that TCP does on such a link.
/// </summary>
/// <remarks>Some kernels have no netem; this needs nothing but tun devices.</remarks>
internal sealed class ShapedLink : IDisposable
{
    private static readonly TimeSpan StopInterval = TimeSpan.FromMilliseconds(100);

    private readonly NetworkNamespace _router;
    private readonly (string Interface, int Table)[] _ends;
    private readonly TunDevice[] _devices;
    private readonly Thread[] _threads;
    private volatile bool _stop;

    public ShapedLink(NetworkNamespace router, string first, string second, LinkShape shape)
    {
        _router = router;
        _ends = [(first, 101), (second, 102)];
        _devices = [TunDevice.Create(router, "tun0"), TunDevice.Create(router, "tun1")];
        _threads =
        [
            new Thread(() => Carry(_devices[0], _devices[1], shape)) { IsBackground = true },
            new Thread(() => Carry(_devices[1], _devices[0], shape)) { IsBackground = true },
        ];
        foreach (Thread thread in _threads)
            thread.Start();

        // What comes in by one interface leaves by this process, and comes in by the other tun device, as from afar.
        for (int i = 0; i < _ends.Length; i++)
        {
            router.Ip("route", "add", "default", "dev", $"tun{i}", "table", $"{_ends[i].Table}");
            router.Ip("rule", "add", "iif", _ends[i].Interface, "lookup", $"{_ends[i].Table}");
        }
    }

    /// <summary>The path is again what it was; what is on its way is lost.</summary>
    public void Dispose()
    {
        foreach ((string end, int table) in _ends)
            _router.Ip("rule", "del", "iif", end, "lookup", $"{table}");

        _stop = true;
        foreach (Thread thread in _threads)
            thread.Join();

        // Their routes go with them.
        foreach (TunDevice device in _devices)
            device.Dispose();
    }

    private void Carry(TunDevice from, TunDevice to, LinkShape shape)
    {
        double ticksPerByte = 8.0 * Stopwatch.Frequency / shape.BitsPerSecond;
        long buffer = (long)(shape.BufferBytes * ticksPerByte);
        long delay = (long)(shape.RoundTrip.TotalSeconds / 2 * Stopwatch.Frequency);
        var onTheWay = new Queue<(long Due, byte[] Packet)>();
        byte[] packet = new byte[64 * 1024];
        long idleFrom = 0;
        while (!_stop)
        {
            TimeSpan untilDue = onTheWay.TryPeek(out (long Due, byte[] Packet) next)
                ? Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), next.Due)
                : StopInterval;
            from.Wait(untilDue < StopInterval ? untilDue : StopInterval);
            int length;
            while ((length = from.Read(packet)) > 0)
            {
                long now = Stopwatch.GetTimestamp();
                long start = Math.Max(now, idleFrom);
                if (start - now > buffer)
                    continue;

                idleFrom = start + (long)(length * ticksPerByte);
                onTheWay.Enqueue((idleFrom + delay, packet.AsSpan(0, length).ToArray()));
            }

            while (onTheWay.TryPeek(out next) && next.Due <= Stopwatch.GetTimestamp())
                to.Write(onTheWay.Dequeue().Packet);
        }
    }
}
