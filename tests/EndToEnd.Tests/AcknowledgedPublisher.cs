using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using MQTTnet;
using MQTTnet.Protocol;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>
/// A device as it should be: publishes numbered messages with QoS 1, keeps each until the broker has acknowledged it, and
/// connects again and sends again what was not acknowledged whenever the connection is lost.
/// </summary>
internal sealed class AcknowledgedPublisher(string host, int port, int total, int ratePerSecond) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<int, byte> _acknowledged = new();
    private readonly ConcurrentQueue<int> _toSend = new(Enumerable.Range(0, total));
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _window = new(200);
    private readonly SemaphoreSlim _gate = new(1);
    private IMqttClient? _client;
    private readonly Stopwatch _elapsed = Stopwatch.StartNew();
    private volatile bool _hurry;
    private int _inFlight;

    public IReadOnlyCollection<int> Acknowledged => (IReadOnlyCollection<int>)_acknowledged.Keys;

    public int AcknowledgedCount => _acknowledged.Count;

    public int Reconnects { get; private set; }

    /// <summary>From now on as fast as it goes.</summary>
    public void Hurry() => _hurry = true;

    /// <summary>Publishes until every message was acknowledged.</summary>
    public async Task RunAsync()
    {
        int taken = 0;
        while (_acknowledged.Count < total)
        {
            // Slow enough that there is traffic for as long as bad things happen, slower towards the end, and never done before
            // it is told that they are over.
            if (taken == total * 9 / 10 && _elapsed.IsRunning)
                _elapsed.Stop();

            while (!_hurry && (taken >= total - 100 || (_elapsed.IsRunning && taken > _elapsed.Elapsed.TotalSeconds * ratePerSecond)))
                await Task.Delay(5, _stop.Token);

            if (!_hurry && !_elapsed.IsRunning)
                await Task.Delay(20, _stop.Token);

            taken++;
            await _window.WaitAsync(_stop.Token);
            await _gate.WaitAsync(_stop.Token);
            _gate.Release();
            if (!_toSend.TryDequeue(out int number))
            {
                _window.Release();
                await Task.Delay(5, _stop.Token);
                continue;
            }

            IMqttClient client = await ConnectedAsync();
            Interlocked.Increment(ref _inFlight);
            _ = PublishAsync(client, number);
        }
    }

    /// <summary>Runs something while nothing is on its way to the broker.</summary>
    public async Task AtRestAsync(Func<Task> action)
    {
        await _gate.WaitAsync();
        try
        {
            await Harness.Condition.WaitAsync("nothing is on its way to the broker", () => Volatile.Read(ref _inFlight) == 0);
            await action();
        }
        finally
        {
            _gate.Release();
        }
    }

    public static int NumberOf(ReadOnlySpan<byte> payload) =>
        int.Parse(Encoding.ASCII.GetString(payload[..payload.IndexOf((byte)' ')]), CultureInfo.InvariantCulture);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _client?.Dispose();
    }

    private async Task PublishAsync(IMqttClient client, int number)
    {
        try
        {
            MqttApplicationMessage message = new MqttApplicationMessageBuilder()
                .WithTopic($"sensors/device-{number % 50}/temperature")
                .WithPayload($"{number} {{\"celsius\":{20 + (number % 100 / 10.0)}}}")
                .WithQualityOfServiceLevel(MqttQualityOfServiceLevel.AtLeastOnce)
                .Build();
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
            limit.CancelAfter(TimeSpan.FromSeconds(15));
            MqttClientPublishResult result = await client.PublishAsync(message, limit.Token);
            if (result.IsSuccess)
            {
                _acknowledged[number] = 0;
                return;
            }

            _toSend.Enqueue(number);
        }
        catch (Exception) when (!_stop.IsCancellationRequested)
        {
            // Not acknowledged: it goes again. MQTT allows that the broker has it twice then.
            _toSend.Enqueue(number);
        }
        catch (Exception)
        {
            // Over.
        }
        finally
        {
            Interlocked.Decrement(ref _inFlight);
            _window.Release();
        }
    }

    private async Task<IMqttClient> ConnectedAsync()
    {
        while (_client is not { IsConnected: true })
        {
            _client?.Dispose();
            _client = new MqttClientFactory().CreateMqttClient();
            try
            {
                await _client.ConnectAsync(
                    new MqttClientOptionsBuilder().WithTcpServer(host, port).WithClientId("device").WithTimeout(TimeSpan.FromSeconds(5)).Build(),
                    _stop.Token);
                Reconnects++;
            }
            catch (Exception) when (!_stop.IsCancellationRequested)
            {
                await Task.Delay(50, _stop.Token);
            }
        }

        return _client;
    }
}
