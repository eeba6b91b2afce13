namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// The bytes of all that waits for subscribers or for their acknowledgements, whoever they are; what waits for several is counted once, and
/// what is kept for later subscribers is not: it is there anyway. Where it gets too much, the oldest goes. Not safe for several threads.
/// </summary>
/// <param name="maxBytes">The most that is held after each call.</param>
/// <param name="dropped">Told of each that goes for want of room. Its content is gone then.</param>
/// <param name="stalled">
/// Told of a subscriber to which a message is being written that takes the last room there is: its connection has to end, for it holds
/// the message.
/// </param>
internal sealed class Backlog(long maxBytes, Action<Delivery, RoutedMessage> dropped, Action<Subscriber> stalled)
{
    // What a delivery takes beside the message.
    private const int Overhead = 200;

    private readonly LinkedList<Delivery> _byAge = [];
    private long _bytes;

    public long Bytes => _bytes;

    public void Hold(Delivery delivery)
    {
        RoutedMessage message = delivery.Message!;
        _bytes += Overhead + (message.Holders++ == 0 && !message.IsKept ? message.Bytes : 0);
        delivery.Age = _byAge.AddLast(delivery);
        MakeRoomFor(delivery);
    }

    /// <summary>A message is not kept for later subscribers any more: what waits of it takes its memory from now on.</summary>
    public void NoLongerKept(RoutedMessage message)
    {
        message.IsKept = false;
        if (message.Holders == 0)
            return;

        _bytes += message.Bytes;
        MakeRoomFor(newest: null);
    }

    /// <summary>Lets go of its message, if it still has it.</summary>
    public void Release(Delivery delivery)
    {
        if (delivery.Message is not { } message)
            return;

        _bytes -= Overhead + (--message.Holders == 0 && !message.IsKept ? message.Bytes : 0);
        _byAge.Remove(delivery.Age!);
        (delivery.Message, delivery.Age) = (null, null);
    }

    private void MakeRoomFor(Delivery? newest)
    {
        LinkedListNode<Delivery>? next = _byAge.First;
        while (_bytes > maxBytes && next is { Value: var delivery } && delivery != newest)
        {
            next = next.Next;
            if (!delivery.IsWriting)
                Drop(delivery);
        }

        // What is left is with connections that do not read. Those who do must not go without for them.
        while (_bytes > maxBytes && _byAge.First is { Value: var oldest })
        {
            Drop(oldest);
            if (oldest.IsWriting)
                stalled(oldest.To);
        }
    }

    private void Drop(Delivery delivery)
    {
        RoutedMessage message = delivery.Message!;
        Release(delivery);
        dropped(delivery, message);
    }
}
