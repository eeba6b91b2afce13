using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using EdgeStream.Client;
using EdgeStream.Storage;
using Grpc.Core;

namespace EdgeStream.Network.Tests;

/// <summary>
/// A program that appends numbered records to an edge that comes and goes, and remembers which number was acknowledged at which
/// offset. What was not acknowledged it does not send again: the next record has the next number.
/// </summary>
internal sealed class CountingProducer : IDisposable
{
    private const int Size = 200;

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentDictionary<long, long> _acknowledged = new();
    private readonly EdgeStreamClient _edge;
    private readonly string _topic;
    private readonly int _perInterval;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _producing;
    private long _numbers;
    private int _burstRecords;
    private int _burstSize;

    public CountingProducer(EdgeStreamClient edge, string topic, int ratePerSecond)
    {
        _edge = edge;
        _topic = topic;
        _perInterval = (int)(ratePerSecond * Interval.TotalSeconds);
        _producing = Task.Run(RunAsync);
    }

    /// <summary>Each acknowledged offset, and the number of its record.</summary>
    public IReadOnlyDictionary<long, long> Acknowledged => _acknowledged;

    /// <summary>How many records it has sent.</summary>
    public long Sent => Volatile.Read(ref _numbers);

    /// <summary>Soon sends so many records of that size at once.</summary>
    public void Burst(int records, int size)
    {
        Volatile.Write(ref _burstSize, size);
        Volatile.Write(ref _burstRecords, records);
    }

    /// <summary>Stops; what was sent is acknowledged or lost on return.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _producing;
    }

    public static long NumberOf(Record record) => BinaryPrimitives.ReadInt64LittleEndian(record.Value!.Value.Span);

    /// <summary>Does not wait: the edge may be frozen, in a test that has failed.</summary>
    public void Dispose() => _stop.Cancel();

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await using Producer producer = await _edge.ProduceAsync(_topic);
                await ProduceAsync(producer);
            }
            catch (Exception error) when (error is EdgeStreamException or RpcException or IOException)
            {
                // The edge is away.
                await Task.Delay(Pause);
            }
        }
    }

    private async Task ProduceAsync(Producer producer)
    {
        var failed = new TaskCompletionSource();
        using var timer = new PeriodicTimer(Interval);
        while (!_stop.IsCancellationRequested && !failed.Task.IsCompleted)
        {
            int burst = Interlocked.Exchange(ref _burstRecords, 0), size = burst > 0 ? _burstSize : Size;
            for (int i = 0; i < _perInterval + burst; i++)
            {
                long number = Interlocked.Increment(ref _numbers);
                byte[] value = RandomNumberGenerator.GetBytes(size);
                BinaryPrimitives.WriteInt64LittleEndian(value, number);
                Task<long> acknowledged = await producer.SendAsync(new Record(number, key: null, new ReadOnlyMemory<byte>(value)));
                _ = NoteAsync(number, acknowledged, failed);
            }

            await timer.WaitForNextTickAsync();
        }
    }

    private async Task NoteAsync(long number, Task<long> acknowledged, TaskCompletionSource failed)
    {
        try
        {
            long offset = await acknowledged;

            // An offset that was given twice is that of no record.
            if (!_acknowledged.TryAdd(offset, number))
                _acknowledged[offset] = -1;
        }
        catch (Exception error) when (error is EdgeStreamException or RpcException or IOException)
        {
            failed.TrySetResult();
        }
    }
}
