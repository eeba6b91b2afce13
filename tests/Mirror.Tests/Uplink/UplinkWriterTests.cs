using System.Collections.Concurrent;
using EdgeStream.Mirror.Uplink;
using EdgeStream.Testing;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Time.Testing;

namespace EdgeStream.Mirror.Tests.Uplink;

public sealed class UplinkWriterTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly RecordingStream _stream = new();
    private readonly FlowWindow _window;
    private readonly UplinkWriter _writer;
    private TimeSpan _limit;

    public UplinkWriterTests()
    {
        _window = new FlowWindow(_time);
        _writer = new UplinkWriter(_stream, _window, () => _limit, _time, CancellationToken.None);
    }

    [Fact]
    public async Task More_urgent_data_goes_first_and_equal_data_in_the_order_it_came()
    {
        await FillWindowAsync();
        Task[] sending = [SendAsync("low-1", 0), SendAsync("high-1", 5), SendAsync("low-2", 0), SendAsync("high-2", 5)];
        Assert.Equal(["full"], _stream.Written);
        MakeRoom();
        await Task.WhenAll(sending).InTimeAsync();
        Assert.Equal(["full", "high-1", "high-2", "low-1", "low-2"], _stream.Written);
    }

    [Fact]
    public async Task Control_messages_wait_for_no_window_and_no_limit()
    {
        await FillWindowAsync();
        _limit = TimeSpan.FromHours(1);
        Task data = SendAsync("data", 9);
        await _writer.SendControlAsync(new V1.EdgeMessage { Open = new V1.OpenTopic { Topic = "open" } }, CancellationToken.None).InTimeAsync();
        Assert.Equal(["full", "open"], _stream.Written);
        MakeRoom();
        Assert.False(data.IsCompleted);

        _limit = TimeSpan.Zero;
        await Eventually.HoldsAsync(() =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return data.IsCompleted;
        }, "the data goes once the limit lets it, without being asked again");
        await data;
    }

    [Fact]
    public async Task Who_gives_up_waiting_is_passed_over()
    {
        await FillWindowAsync();
        using var impatient = new CancellationTokenSource();
        Task<UplinkWriter.Turn> given = _writer.WaitForTurnAsync(9, impatient.Token);
        Task next = SendAsync("next", 0);
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.InTimeAsync());
        MakeRoom();
        await next.InTimeAsync();
        Assert.Equal(["full", "next"], _stream.Written);
    }

    private Task FillWindowAsync() => SendAsync("full", 0, FlowWindow.InitialBytes);

    private void MakeRoom()
    {
        Assert.True(_window.TryAcknowledge(FlowWindow.InitialBytes));
        _writer.Wake();
    }

    private async Task SendAsync(string topic, int priority, int bytes = 1)
    {
        using UplinkWriter.Turn turn = await _writer.WaitForTurnAsync(priority, CancellationToken.None);
        await turn.SendPieceAsync(new V1.Chunk { Topic = topic, Data = ByteString.CopyFrom(new byte[bytes]) });
    }

    private sealed class RecordingStream : IClientStreamWriter<V1.EdgeMessage>
    {
        public ConcurrentQueue<string> Written { get; } = new();

        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(V1.EdgeMessage message)
        {
            Written.Enqueue(message.Chunk?.Topic ?? message.Open.Topic);
            return Task.CompletedTask;
        }

        public Task WriteAsync(V1.EdgeMessage message, CancellationToken cancellationToken) => WriteAsync(message);

        public Task CompleteAsync() => Task.CompletedTask;
    }
}
