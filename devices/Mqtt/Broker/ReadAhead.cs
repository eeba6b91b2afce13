using System.Runtime.ExceptionServices;
using System.Threading.Channels;
using MQTTnet;
using MQTTnet.Formatter;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>A packet that was read.</summary>
/// <param name="Packet">The packet; null at the end of the connection.</param>
/// <param name="Message">Its message, where it is one of QoS 0 or 1.</param>
/// <param name="Storing">What becomes of the message; null where no rule is for it.</param>
internal readonly record struct ReadPacket(MqttPacket? Packet, MqttApplicationMessage? Message, Task<StoreOutcome>? Storing);

/// <summary>
/// Reads a device's packets before they are asked for, and hands them on in order. Who deals with them takes one after the other and
/// waits until a message is stored; begun here, the messages of a device share a sync instead of each waiting for its own.
/// </summary>
/// <remarks>
/// A device that does not wait for its acknowledgements has up to <see cref="MaxPackets"/> on their way, and all devices together the
/// budget's bytes; each may always have one. Dispose it when the connection has ended; what then is not stored yet is given up.
/// </remarks>
internal sealed class ReadAhead : IDisposable
{
    /// <summary>Read and not dealt with, of one device.</summary>
    public const int MaxPackets = 64;

    private readonly Func<CancellationToken, Task<MqttPacket?>> _read;
    private readonly Func<MqttApplicationMessage, CancellationToken, Task<StoreOutcome>?> _store;
    private readonly ReadBudget _budget;
    private readonly CancellationTokenSource _end;
    private readonly Channel<Item> _packets = Channel.CreateUnbounded<Item>(new UnboundedChannelOptions { SingleWriter = true });
    private readonly Lock _lock = new();
    private readonly Queue<int> _sizes = new();
    private TaskCompletionSource? _mayRead;
    private bool _readsAlone;
    private bool _isOut;
    private bool _disposed;

    private readonly record struct Item(ReadPacket Read, Exception? Error);

    /// <param name="read">The next packet of the connection; null at its end.</param>
    /// <param name="store">Begins to store a message; null where no rule is for it. Called for one after the other.</param>
    /// <param name="budget">Shared by all devices.</param>
    /// <param name="abandoned">Ends reading, and what is not stored by then.</param>
    public ReadAhead(
        Func<CancellationToken, Task<MqttPacket?>> read, Func<MqttApplicationMessage, CancellationToken, Task<StoreOutcome>?> store, ReadBudget budget,
        CancellationToken abandoned)
    {
        (_read, _store, _budget) = (read, store, budget);
        _end = CancellationTokenSource.CreateLinkedTokenSource(abandoned);
        _ = ReadAllAsync(_end.Token);
    }

    /// <summary>Whether the next packet is there, and its message, where it is one, is stored or will not be.</summary>
    public bool IsNextDue => _packets.Reader.TryPeek(out Item next) && next.Read.Storing is null or { IsCompleted: true };

    /// <summary>The next packet; who asks for it has dealt with the one before.</summary>
    public async ValueTask<ReadPacket> NextAsync(CancellationToken cancellationToken)
    {
        Settle();
        Item next = await _packets.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        if (next.Error is not null)
            ExceptionDispatchInfo.Throw(next.Error);

        return next.Read;
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
                return;

            _disposed = true;
            _budget.Return(_sizes.Sum());
            _sizes.Clear();
        }

        _end.Cancel();
        _end.Dispose();
    }

    private async Task ReadAllAsync(CancellationToken end)
    {
        try
        {
            MqttPacket? packet;
            do
            {
                packet = await _read(end).ConfigureAwait(false);
                MqttApplicationMessage? message = packet is MqttPublishPacket { QualityOfServiceLevel: < MqttQualityOfServiceLevel.ExactlyOnce } publish
                    ? MqttApplicationMessageFactory.Create(publish)
                    : null;
                Task<StoreOutcome>? storing = message is null ? null : _store(message, end);
                Task room = Count(packet);
                _packets.Writer.TryWrite(new Item(new ReadPacket(packet, message, storing), null));
                if (!room.IsCompleted)
                    await room.WaitAsync(end).ConfigureAwait(false);
            }
            while (packet is not null);
        }
        catch (Exception error)
        {
            _packets.Writer.TryWrite(new Item(default, error));
        }
    }

    /// <summary>Completes when one more may be read.</summary>
    private Task Count(MqttPacket? packet)
    {
        int size = packet is MqttPublishPacket message ? (int)message.Payload.Length + message.Topic.Length : 0;
        lock (_lock)
        {
            if (_disposed)
                return Task.CompletedTask;

            _sizes.Enqueue(size);
            _budget.Take(size);

            // It is stored when MQTTnet deals with it, and what comes after it must not be stored before.
            _readsAlone = packet is MqttPublishPacket { QualityOfServiceLevel: MqttQualityOfServiceLevel.ExactlyOnce };
            if (MayRead)
                return Task.CompletedTask;

            _mayRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _mayRead.Task;
        }
    }

    private bool MayRead => _sizes.Count == 0 || (!_readsAlone && _sizes.Count < MaxPackets && !_budget.IsSpent);

    /// <summary>The packet that was handed on last is dealt with.</summary>
    private void Settle()
    {
        lock (_lock)
        {
            if (_isOut && _sizes.TryDequeue(out int size))
                _budget.Return(size);

            _isOut = true;
            if (!MayRead)
                return;

            _mayRead?.TrySetResult();
            _mayRead = null;
        }
    }
}
