using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using EdgeStream.Harness.Network;

namespace EdgeStream.Network.Tests;

/// <summary>Whether the path does what the other tests take for granted.</summary>
public sealed class SitePathTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly SitePath _path = new();

    public void Dispose() => _path.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Slow_link_carries_what_its_rate_is(bool up)
    {
        _path.Shape(LinkShape.Slow);
        using Socket hub = Bind(_path.Hub), edge = Bind(_path.Edge);
        EndPoint hubEnd = At(_path.HubAddress, hub), edgeEnd = At(_path.EdgeAddress, edge);
        (Socket from, Socket to, EndPoint target) = up ? (edge, hub, hubEnd) : (hub, edge, edgeEnd);

        // Twice as much as there is room for, for as long as it is measured, also where a busy machine lets ticks pass.
        byte[] packet = new byte[500];
        long headers = 28;
        using var stop = new CancellationTokenSource();
        Task sending = Task.Run(async () =>
        {
            const int Interval = 40;
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(Interval));
            var since = Stopwatch.StartNew();
            long sent = 0;
            while (await timer.WaitForNextTickAsync(stop.Token))
            {
                for (; sent < since.ElapsedMilliseconds / Interval; sent++)
                    await from.SendToAsync(packet, target, stop.Token);
            }
        });

        await ReceiveAsync(to);
        long start = Stopwatch.GetTimestamp(), bytes = 0;
        TimeSpan elapsed;
        do
        {
            bytes += await ReceiveAsync(to) + headers;
            elapsed = Stopwatch.GetElapsedTime(start);
        }
        while (elapsed < TimeSpan.FromSeconds(5));

        await stop.CancelAsync();
        await sending.ContinueWith(static _ => { }, TaskScheduler.Default);
        double rate = bytes * 8 / elapsed.TotalSeconds;
        Assert.InRange(rate, LinkShape.Slow.BitsPerSecond * 0.9, LinkShape.Slow.BitsPerSecond * 1.1);
    }

    [Fact]
    public async Task Long_link_takes_its_time_and_carries_much()
    {
        _path.Shape(LinkShape.Long);
        (Socket edge, Socket hub) = await ConnectAsync();
        using (edge)
        using (hub)
        {
            double[] times = new double[3];
            for (int i = 0; i < times.Length; i++)
            {
                long start = Stopwatch.GetTimestamp();
                await edge.SendAsync(new byte[1]);
                await ReceiveAsync(hub);
                await hub.SendAsync(new byte[1]);
                await ReceiveAsync(edge);
                times[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }

            // The least: what the machine adds is not the link's.
            Assert.InRange(times.Min(), 600, 660);
        }
    }

    [Fact]
    public async Task Link_is_as_fast_as_the_machine_once_it_is_not_shaped()
    {
        _path.Shape(LinkShape.Slow);
        _path.Shape(null);
        await AssertPassesAsync(100_000);
    }

    [Theory]
    [InlineData(PathEnd.Edge)]
    [InlineData(PathEnd.Hub)]
    [InlineData(PathEnd.Edge | PathEnd.Hub)]
    public async Task Blocked_direction_passes_nothing_and_the_other_does(PathEnd blocked)
    {
        using Socket hub = Bind(_path.Hub), edge = Bind(_path.Edge);
        EndPoint hubEnd = At(_path.HubAddress, hub), edgeEnd = At(_path.EdgeAddress, edge);
        foreach ((PathEnd from, Socket sender, Socket receiver, EndPoint target) in new[]
        {
            (PathEnd.Edge, edge, hub, hubEnd),
            (PathEnd.Hub, hub, edge, edgeEnd),
        })
        {
            // The first shows that the second has had its time: it came the same way after it.
            _path.Block(blocked);
            await sender.SendToAsync(new byte[1], target);
            _path.Block(default);
            await sender.SendToAsync(new byte[2], target);
            Assert.Equal(blocked.HasFlag(from) ? 2 : 1, await ReceiveAsync(receiver));
            if (!blocked.HasFlag(from))
                await ReceiveAsync(receiver);
        }
    }

    [Fact]
    public async Task Plug_and_addresses_change_under_a_running_network()
    {
        foreach (PathEnd end in Enum.GetValues<PathEnd>())
        {
            _path.SetPlugged(end, false);
            _path.SetPlugged(end, true);
        }

        await AssertPassesAsync(1000);
        (string edge, string hub) = (_path.EdgeAddress, _path.HubAddress);
        _path.ChangeEdgeAddress();
        _path.ChangeHubAddress();
        Assert.NotEqual((edge, hub), (_path.EdgeAddress, _path.HubAddress));
        await AssertPassesAsync(1000);
    }

    [Fact]
    public async Task Lossy_link_loses_about_as_much_as_it_is_told()
    {
        const int Packets = 2000;
        _path.Lose(30);
        using Socket hub = Bind(_path.Hub), edge = Bind(_path.Edge);
        EndPoint hubEnd = At(_path.HubAddress, hub);
        for (int i = 0; i < Packets; i++)
            await edge.SendToAsync(new byte[1], hubEnd);

        _path.Lose(0);
        await edge.SendToAsync(new byte[2], hubEnd);
        int received = 0;
        while (await ReceiveAsync(hub) == 1)
            received++;

        Assert.InRange(received, Packets * 0.6, Packets * 0.8);
    }

    [Theory]
    [InlineData(ForgottenConnection.Swallowed)]
    [InlineData(ForgottenConnection.Reset)]
    public async Task Middle_box_forgets_an_idle_connection(ForgottenConnection then)
    {
        TimeSpan idle = TimeSpan.FromSeconds(2);
        _path.ForgetIdle(TimeSpan.FromHours(1), then);
        (Socket edge, Socket hub) = await ConnectAsync();
        using (edge)
        using (hub)
        {
            _path.ForgetIdle(idle, then);
            await edge.SendAsync(new byte[1]);
            Assert.Equal(1, await ReceiveAsync(hub));
            await Task.Delay(idle + TimeSpan.FromSeconds(2));

            await edge.SendAsync(new byte[1]);
            if (then == ForgottenConnection.Reset)
                await Assert.ThrowsAsync<SocketException>(() => ReceiveAsync(edge));
            else
                await Assert.ThrowsAsync<TimeoutException>(() => ReceiveAsync(hub, TimeSpan.FromSeconds(1)));

            // A new one is let through.
            _path.ForgetIdle(TimeSpan.FromHours(1), then);
            await AssertPassesAsync(1000);
        }
    }

    private static IPEndPoint At(string address, Socket socket) => new(IPAddress.Parse(address), ((IPEndPoint)socket.LocalEndPoint!).Port);

    private static Socket Bind(NetworkNamespace network) => network.Invoke(() =>
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp) { ReceiveBufferSize = 4 * 1024 * 1024 };
        socket.Bind(new IPEndPoint(IPAddress.Any, 0));
        return socket;
    });

    private static async Task<int> ReceiveAsync(Socket socket, TimeSpan? patience = null) =>
        await socket.ReceiveAsync(new byte[64 * 1024]).WaitAsync(patience ?? Patience);

    private async Task<(Socket Edge, Socket Hub)> ConnectAsync()
    {
        using Socket listener = _path.Hub.Invoke(() =>
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(IPAddress.Any, 0));
            socket.Listen();
            return socket;
        });
        Socket edge = _path.Edge.Invoke(() => new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        edge.NoDelay = true;
        await edge.ConnectAsync(At(_path.HubAddress, listener)).WaitAsync(Patience);
        Socket hub = await listener.AcceptAsync();
        hub.NoDelay = true;
        return (edge, hub);
    }

    private async Task AssertPassesAsync(int bytes)
    {
        (Socket edge, Socket hub) = await ConnectAsync();
        using (edge)
        using (hub)
        {
            long start = Stopwatch.GetTimestamp();
            Task sending = edge.SendAsync(new byte[bytes]);
            int received = 0;
            while (received < bytes)
                received += await ReceiveAsync(hub);

            await sending;
            Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20));
        }
    }
}
