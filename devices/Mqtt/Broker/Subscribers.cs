using Microsoft.Extensions.Logging;
using MQTTnet;
using MQTTnet.Packets;
using MQTTnet.Protocol;

namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// The subscribers' side of the broker: who wants what, what waits for whom, and what is kept for those who come later. Everything in it
/// is bounded, for all subscribers together, so that one that is away or does not read costs the others nothing. Safe from any thread;
/// nothing here waits for a subscriber.
/// </summary>
/// <remarks>
/// MQTTnet's own side of it bounds the number of messages that wait for a session and not their bytes, keeps those it has dropped until
/// they are acknowledged, lets anybody subscribe without end, and knows neither expiry nor shared subscriptions.
/// </remarks>
internal sealed class Subscribers
{
    /// <summary>Messages that wait for one subscriber; of more, the oldest goes.</summary>
    public const int MaxWaiting = 250;

    /// <summary>The filters of one session.</summary>
    public const int MaxSubscriptions = 1000;

    /// <summary>Those of all sessions.</summary>
    public const int MaxAllSubscriptions = 20_000;

    // What their filters may take in memory: one may be of 64 KiB, and of as many levels.
    private const long MaxFilterBytes = 8 * 1024 * 1024;
    private const int BytesPerSubscription = 400;
    private const int BytesPerLevel = 250;

    // Sent and not acknowledged, of one subscriber that says nothing else.
    private const int MaxUnacknowledged = 250;

    private const string Stalled = "it does not read what it is sent, and there is no room for it here";

    // Of each subscriber that does not keep up.
    private static readonly TimeSpan TellAtMost = TimeSpan.FromMinutes(1);

    private readonly string _name;
    private readonly SourceCounters _counters;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly long _begin;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Subscriber> _sessions = new(StringComparer.Ordinal);
    private readonly FilterTree<Subscription> _tree = new();
    private readonly Dictionary<string, SharedGroup> _groups = new(StringComparer.Ordinal);
    private readonly Backlog _backlog;
    private readonly RetainedMessages _retained;
    private int _subscriptions;
    private long _filterBytes;
    private long _sequence;

    /// <param name="name">The broker's, for messages.</param>
    /// <param name="maxWaitingBytes">What may wait for all subscribers together.</param>
    /// <param name="retained">What is kept from before; no one else's from now on.</param>
    /// <param name="counters">Told what was dropped.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">For warnings.</param>
    public Subscribers(
        string name, long maxWaitingBytes, RetainedMessages retained, SourceCounters counters, TimeProvider time, ILogger logger)
    {
        (_name, _retained, _counters, _time, _logger) = (name, retained, counters, time, logger);
        _begin = time.GetTimestamp();
        _backlog = new Backlog(maxWaitingBytes, (delivery, message) => Dropped(delivery, message), subscriber => subscriber.Connection?.Abort(Stalled));
        _retained.LetGo = _backlog.NoLongerKept;
    }

    /// <summary>What waits for all subscribers.</summary>
    public long WaitingBytes
    {
        get
        {
            lock (_lock)
                return _backlog.Bytes;
        }
    }

    /// <summary>Since the broker runs, by a monotonic clock.</summary>
    private TimeSpan Now => _time.GetElapsedTime(_begin);

    /// <summary>
    /// A subscriber has connected. What waits for it is sent from <see cref="Begin"/> on, when it knows that it is connected; what it has
    /// not acknowledged comes first, and again.
    /// </summary>
    /// <param name="clientId">Who it is.</param>
    /// <param name="isPresent">Whether it goes on with its session.</param>
    /// <param name="connection">Where it is sent to.</param>
    /// <param name="receiveMaximum">What it takes at once; 0 where it has not said.</param>
    /// <param name="maximumPacketSize">The largest packet that it takes; 0 where it has not said.</param>
    public Subscriber Open(string clientId, bool isPresent, ISubscriberConnection connection, int receiveMaximum, uint maximumPacketSize)
    {
        lock (_lock)
        {
            if (!isPresent)
                Forget(clientId);

            if (!_sessions.TryGetValue(clientId, out Subscriber? subscriber))
                _sessions.Add(clientId, subscriber = new Subscriber(clientId));

            Leave(subscriber);
            TellDropped(subscriber);
            subscriber.Window = receiveMaximum > 0 ? Math.Min(receiveMaximum, MaxUnacknowledged) : MaxUnacknowledged;
            subscriber.MaxPacketBytes = maximumPacketSize > 0 ? maximumPacketSize : long.MaxValue;
            (subscriber.Connection, subscriber.IsSending) = (connection, true);
            foreach (Delivery delivery in subscriber.Unacknowledged.Values.Reverse().ToArray())
            {
                if (delivery.Message is null && !delivery.IsReleased)
                    subscriber.Unacknowledged.Remove(delivery.Sequence);
                else if (delivery.Place is null)
                    (delivery.IsAgain, delivery.Place) = (true, subscriber.Waiting.AddFirst(delivery));
            }

            return subscriber;
        }
    }

    /// <summary>The subscriber knows that it is connected. No other connection may send for that: its own may not have said so yet.</summary>
    public void Begin(Subscriber subscriber, ISubscriberConnection connection)
    {
        lock (_lock)
        {
            if (subscriber.Connection == connection)
                connection.Send();
        }
    }

    /// <summary>The connection has ended. What is to be acknowledged waits until the session is removed.</summary>
    /// <returns>Whether the client is lost: not connected by now in another way.</returns>
    public bool Close(Subscriber subscriber, ISubscriberConnection connection)
    {
        lock (_lock)
        {
            if (subscriber.Connection == connection)
                Leave(subscriber);

            return !IsElsewhere(subscriber.ClientId, connection);
        }
    }

    /// <summary>Whether a client is connected by now in another way than this one.</summary>
    public bool IsElsewhere(string clientId, ISubscriberConnection connection)
    {
        lock (_lock)
            return _sessions.TryGetValue(clientId, out Subscriber? subscriber) && subscriber.Connection is { } now && now != connection;
    }

    /// <summary>
    /// Its session has ended. A connection that it has all the same, made while the session was about to end, ends too: its client would
    /// hear nothing more, and not know it.
    /// </summary>
    public void Remove(string clientId)
    {
        lock (_lock)
        {
            ISubscriberConnection? left = _sessions.GetValueOrDefault(clientId)?.Connection;
            Forget(clientId);
            left?.Abort(null);
        }
    }

    /// <returns>An answer to each filter, in order.</returns>
    public List<MqttSubscribeReasonCode> Subscribe(Subscriber subscriber, MqttSubscribePacket packet)
    {
        var answers = new List<MqttSubscribeReasonCode>(packet.TopicFilters.Count);
        foreach (MqttTopicFilter filter in packet.TopicFilters)
        {
            lock (_lock)
            {
                answers.Add(subscriber.IsForgotten
                    ? MqttSubscribeReasonCode.UnspecifiedError
                    : Subscribe(subscriber, filter, packet.SubscriptionIdentifier));
            }
        }

        return answers;
    }

    /// <inheritdoc cref="Subscribe(Subscriber, MqttSubscribePacket)"/>
    public List<MqttUnsubscribeReasonCode> Unsubscribe(Subscriber subscriber, MqttUnsubscribePacket packet)
    {
        lock (_lock)
        {
            return [.. packet.TopicFilters.Select(filter => Unsubscribe(subscriber, filter)
                ? MqttUnsubscribeReasonCode.Success
                : MqttUnsubscribeReasonCode.NoSubscriptionExisted)];
        }
    }

    /// <summary>Hands a message to all who want it, and keeps it where it asks for that.</summary>
    /// <param name="message">The message; its memory may be used again when the call returns.</param>
    /// <param name="sender">The client id of who has published it.</param>
    /// <returns>Whether anybody wants it.</returns>
    public bool Publish(MqttApplicationMessage message, string sender)
    {
        lock (_lock)
        {
            List<Subscription> wanted = [];
            _tree.Find(message.Topic, wanted);
            if (wanted.Count == 0 && !message.Retain)
                return false;

            var routed = new RoutedMessage(message, Now);
            if (message.Retain)
                Keep(routed, sender);

            foreach (SharedGroup group in wanted.Select(subscription => subscription.Group).OfType<SharedGroup>().Distinct().ToArray())
                Enqueue(routed, [group.Next()]);

            // Once to each, however many of its filters match ([MQTT-3.3.4-2]).
            foreach (IGrouping<Subscriber, Subscription> one in wanted
                .Where(subscription => subscription.Group is null && !(subscription.NoLocal && subscription.Subscriber.ClientId == sender))
                .GroupBy(subscription => subscription.Subscriber))
            {
                Enqueue(routed, [.. one]);
            }

            return wanted.Count > 0;
        }
    }

    /// <summary>The next packet for a subscriber; null where there is none now. Who asks has sent the one before.</summary>
    public MqttPacket? Next(Subscriber subscriber, ISubscriberConnection connection)
    {
        lock (_lock)
        {
            if (subscriber.Connection != connection)
                return null;

            Sent(subscriber);
            TimeSpan now = Now;
            for (LinkedListNode<Delivery>? place = subscriber.Waiting.First, after; place is not null; place = after)
            {
                after = place.Next;
                Delivery delivery = place.Value;
                if (delivery.Message?.IsExpired(now) == true)
                {
                    Discard(delivery);
                    continue;
                }

                if (delivery.Message is { } message && ProblemOfSending(delivery, message) is { } problem)
                {
                    DiscardUnsendable(delivery, message, problem);
                    continue;
                }

                // What need not be acknowledged is sent past what has to wait for that.
                if (delivery.Quality > MqttQualityOfServiceLevel.AtMostOnce && subscriber.Outstanding >= subscriber.Window)
                    continue;

                return Take(delivery).ToPacket(now);
            }

            subscriber.IsSending = false;
            return null;
        }
    }

    /// <summary>The subscriber has acknowledged a message, or refused it: it is done.</summary>
    public void Acknowledge(Subscriber subscriber, ushort packetId)
    {
        lock (_lock)
        {
            if (subscriber.Find(packetId) is not { Place: null } delivery)
                return;

            subscriber.Unacknowledged.Remove(delivery.Sequence);
            subscriber.Outstanding--;
            _backlog.Release(delivery);
            Wake(subscriber);
        }
    }

    /// <summary>The subscriber has a message of QoS 2, and must not get it again.</summary>
    public void Receive(Subscriber subscriber, ushort packetId)
    {
        lock (_lock)
        {
            if (subscriber.Find(packetId) is not { Place: null } delivery)
                return;

            delivery.IsReleased = true;
            _backlog.Release(delivery);
        }
    }

    /// <summary>What is kept for later subscribers, as it is to be put on the disk.</summary>
    /// <param name="maxBytes">The most that is taken.</param>
    /// <param name="leftOut">How many there was no room for.</param>
    public byte[] WriteRetained(int maxBytes, out int leftOut)
    {
        TimeSpan now = Now;
        RoutedMessage[] messages;
        lock (_lock)
            messages = [.. _retained.All(now)];

        return RetainedFile.Write(messages, now, maxBytes, out leftOut);
    }

    private static void Wake(Subscriber subscriber)
    {
        if (subscriber.Connection is null || subscriber.IsSending)
            return;

        subscriber.IsSending = true;
        subscriber.Connection.Send();
    }

    private static void TakeFromWaiting(Delivery delivery)
    {
        if (delivery.Place is null)
            return;

        delivery.To.Waiting.Remove(delivery.Place);
        delivery.Place = null;
        if (CountsAsNew(delivery))
            delivery.To.NewWaiting--;
    }

    private static bool CountsAsNew(Delivery delivery) => delivery is { PacketId: 0, IsRetained: false };

    private static Delivery Take(Delivery delivery)
    {
        Subscriber subscriber = delivery.To;
        TakeFromWaiting(delivery);
        if (delivery.Quality > MqttQualityOfServiceLevel.AtMostOnce)
        {
            if (delivery.PacketId == 0)
            {
                delivery.PacketId = subscriber.NextPacketId();
                subscriber.Unacknowledged.Add(delivery.Sequence, delivery);
            }

            subscriber.Outstanding++;
        }

        delivery.IsWriting = true;
        subscriber.Writing = delivery;
        return delivery;
    }

    /// <summary>What was being written is with the subscriber's side, or its connection is gone.</summary>
    private void Sent(Subscriber subscriber)
    {
        if (subscriber.Writing is not { } written)
            return;

        written.IsWriting = false;
        subscriber.Writing = null;
        if (written.Quality == MqttQualityOfServiceLevel.AtMostOnce)
            _backlog.Release(written);
    }

    private void Leave(Subscriber subscriber)
    {
        Sent(subscriber);
        (subscriber.Connection, subscriber.Outstanding, subscriber.IsSending) = (null, 0, false);
        foreach (Delivery delivery in subscriber.Waiting.Where(delivery => delivery.Quality == MqttQualityOfServiceLevel.AtMostOnce).ToArray())
            Discard(delivery);
    }

    /// <summary>It is not to be sent any more.</summary>
    private void Discard(Delivery delivery)
    {
        TakeFromWaiting(delivery);
        delivery.To.Unacknowledged.Remove(delivery.Sequence);
        _backlog.Release(delivery);
    }

    /// <summary>What the subscriber cannot take is as if it had been sent ([MQTT-3.1.2-25]); else it would be the first again each time.</summary>
    private void DiscardUnsendable(Delivery delivery, RoutedMessage message, string problem)
    {
        Discard(delivery);
        string what = $"a message to '{message.Topic}' is not sent to the subscriber '{delivery.To.ClientId}': {problem}";
        _counters.AddDropped(DropReason.Refused, what);
        _logger.LogWarning("{Name}: {Problem}", _name, what);
    }

    private static string? ProblemOfSending(Delivery delivery, RoutedMessage message)
    {
        if (!message.IsEncodable)
            return "a text of it is longer than MQTT allows";

        long size = message.PacketBytes(delivery.Quality, delivery.Identifiers);
        return size > delivery.To.MaxPacketBytes ? $"its packet of {size} bytes is larger than the {delivery.To.MaxPacketBytes} that it takes" : null;
    }

    private void Forget(string clientId)
    {
        if (!_sessions.Remove(clientId, out Subscriber? subscriber))
            return;

        subscriber.IsForgotten = true;
        Leave(subscriber);
        foreach (string filter in subscriber.Subscriptions.Keys.ToArray())
            Unsubscribe(subscriber, filter);

        foreach (Delivery delivery in subscriber.Waiting.Concat(subscriber.Unacknowledged.Values).ToArray())
            Discard(delivery);
    }

    private void Enqueue(RoutedMessage message, IReadOnlyList<Subscription> matching)
    {
        Subscription first = matching[0];
        var quality = (MqttQualityOfServiceLevel)Math.Min((int)message.Quality, (int)matching.Max(subscription => subscription.Quality));
        Enqueue(new Delivery(first.Subscriber, message, quality)
        {
            Sequence = ++_sequence,
            Retain = message.Retain && matching.Any(subscription => subscription.RetainAsPublished),
            Identifiers = IdentifiersOf(matching),
        });
    }

    private static List<uint>? IdentifiersOf(IReadOnlyList<Subscription> matching)
    {
        List<uint>? identifiers = null;
        foreach (Subscription subscription in matching)
        {
            if (subscription.Identifier != 0)
                (identifiers ??= []).Add(subscription.Identifier);
        }

        return identifiers;
    }

    private void Enqueue(Delivery delivery)
    {
        Subscriber subscriber = delivery.To;
        if (subscriber.Connection is null && delivery.Quality == MqttQualityOfServiceLevel.AtMostOnce)
            return;

        if (!delivery.IsRetained && subscriber.NewWaiting == MaxWaiting)
        {
            Delivery oldest = subscriber.Waiting.First(CountsAsNew);
            RoutedMessage message = oldest.Message!;
            _backlog.Release(oldest);
            Dropped(oldest, message);
        }

        delivery.Place = subscriber.Waiting.AddLast(delivery);
        if (CountsAsNew(delivery))
            subscriber.NewWaiting++;

        _backlog.Hold(delivery);
        Wake(subscriber);
    }

    /// <summary>There was no room for it any more. Where its acknowledgement is due, that still counts.</summary>
    private void Dropped(Delivery delivery, RoutedMessage message)
    {
        if (delivery.Place is not null)
        {
            TakeFromWaiting(delivery);
            delivery.To.Unacknowledged.Remove(delivery.Sequence);
        }

        TimeSpan now = Now;
        if (message.IsExpired(now))
            return;

        Subscriber subscriber = delivery.To;
        subscriber.Dropped++;
        subscriber.DroppedUntold++;
        _counters.AddDropped(DropReason.SlowSubscriber, $"the subscriber '{subscriber.ClientId}' is away or does not keep up");
        if (subscriber.Told is null || now - subscriber.Told >= TellAtMost)
            TellDropped(subscriber);
    }

    private void TellDropped(Subscriber subscriber)
    {
        if (subscriber.DroppedUntold == 0)
            return;

        (subscriber.DroppedUntold, subscriber.Told) = (0, Now);
        _logger.LogWarning(
            "{Name}: the subscriber '{Subscriber}' is away or does not keep up: of what waits for it the oldest goes, {Count} so far; "
            + "what must not be lost is read from the log",
            _name, subscriber.ClientId, subscriber.Dropped);
    }

    private MqttSubscribeReasonCode Subscribe(Subscriber subscriber, MqttTopicFilter wanted, uint identifier)
    {
        bool isNew = !subscriber.Subscriptions.ContainsKey(wanted.Topic);
        if (isNew && ProblemOfOneMore(subscriber, wanted.Topic) is { } problem)
        {
            _logger.LogWarning("{Name}: a subscription of '{Subscriber}' was refused: {Problem}", _name, subscriber.ClientId, problem);
            return MqttSubscribeReasonCode.QuotaExceeded;
        }

        if (!isNew)
            Unsubscribe(subscriber, wanted.Topic);

        // It is a good one: the channel has looked at it.
        _ = MqttTopicRule.ProblemOf(wanted.Topic, out string matched);
        bool isShared = matched != wanted.Topic;
        if (isShared && !_groups.ContainsKey(wanted.Topic))
            _groups.Add(wanted.Topic, new SharedGroup());

        var subscription = new Subscription(subscriber, wanted.Topic, matched)
        {
            Quality = wanted.QualityOfServiceLevel,
            NoLocal = wanted.NoLocal,
            RetainAsPublished = wanted.RetainAsPublished,
            Identifier = identifier,
            Group = isShared ? _groups[wanted.Topic] : null,
        };
        subscription.Group?.Members.Add(subscription);
        subscriber.Subscriptions.Add(subscription.Filter, subscription);
        _tree.Add(matched, subscription);
        _subscriptions++;
        _filterBytes += BytesOf(subscription.Filter);

        // Who shares gets what comes from now on (section 4.8.2 of MQTT 5).
        if (!isShared && (wanted.RetainHandling == MqttRetainHandling.SendAtSubscribe
            || (wanted.RetainHandling == MqttRetainHandling.SendAtSubscribeIfNewSubscriptionOnly && isNew)))
        {
            SendRetained(subscription);
        }

        return (MqttSubscribeReasonCode)wanted.QualityOfServiceLevel;
    }

    private void SendRetained(Subscription subscription)
    {
        foreach (RoutedMessage message in _retained.Matching(subscription.Matched, Now))
        {
            Enqueue(new Delivery(
                subscription.Subscriber, message, (MqttQualityOfServiceLevel)Math.Min((int)message.Quality, (int)subscription.Quality))
            {
                Sequence = ++_sequence,
                Retain = true,
                IsRetained = true,
                Identifiers = IdentifiersOf([subscription]),
            });
        }
    }

    private string? ProblemOfOneMore(Subscriber subscriber, string filter)
    {
        if (subscriber.Subscriptions.Count >= MaxSubscriptions)
            return $"it has {MaxSubscriptions} already";

        if (_subscriptions >= MaxAllSubscriptions || _filterBytes + BytesOf(filter) > MaxFilterBytes)
            return $"there are {_subscriptions} already, of all subscribers";

        return LevelsOf(filter) > FilterTree<Subscription>.MaxLevels ? $"its filter has more than {FilterTree<Subscription>.MaxLevels} levels" : null;
    }

    private bool Unsubscribe(Subscriber subscriber, string filter)
    {
        if (!subscriber.Subscriptions.Remove(filter, out Subscription? subscription))
            return false;

        _tree.Remove(subscription.Matched, subscription);
        _subscriptions--;
        _filterBytes -= BytesOf(filter);
        if (subscription.Group is { } group)
        {
            group.Members.Remove(subscription);
            if (group.Members.Count == 0)
                _groups.Remove(filter);
        }

        return true;
    }

    private void Keep(RoutedMessage message, string sender)
    {
        if (_retained.TryKeep(message, Now))
            return;

        _logger.LogWarning(
            "{Name}: '{Topic}' of {Device} is not kept for later subscribers: what is kept fills {Bytes} bytes already; "
            + "an empty retained message to a topic makes room",
            _name, message.Topic, sender, RetainedMessages.MaxBytes);
    }

    private static int LevelsOf(string filter) => filter.AsSpan().Count('/') + 1;

    private static long BytesOf(string filter) => BytesPerSubscription + (4L * filter.Length) + (BytesPerLevel * LevelsOf(filter));
}
