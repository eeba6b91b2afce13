using System.Collections.Immutable;
using System.Globalization;
using EdgeStream.Cluster.Nats;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>A value of the topology, and the sequence of the write that it is of.</summary>
internal readonly record struct TopologyEntry(ReadOnlyMemory<byte> Value, long Revision);

/// <summary>
/// What was read of the topology's bucket at one time: what is of SCs there, what is of others, and whether the former is all that the last
/// SC has left. Immutable.
/// </summary>
/// <remarks>
/// Each message of an SC says the sum of the revisions of all keys of SCs, as that write leaves them. Revisions only grow, so what was read is
/// all that there was after the newest of these writes if and only if it adds up to the sum which that one says: whichever servers have
/// answered, and whatever others have written beside it.
/// </remarks>
internal sealed class TopologyReading
{
    /// <summary>The header that makes a message an SC's.</summary>
    public const string SumHeader = "EdgeStream-Sum";

    private readonly IReadOnlyList<StoredMessage> _messages;
    private readonly string _prefix;
    private readonly StoredMessage? _newest;

    /// <param name="read">All that was found, in any order.</param>
    /// <param name="prefix">Of the bucket's subjects.</param>
    /// <param name="last">The stream's last sequence.</param>
    public TopologyReading(IEnumerable<StoredMessage> read, string prefix, long last)
    {
        // Of a key that was written meanwhile two may have been found.
        _messages = [.. read.OrderByDescending(message => message.Seq).DistinctBy(message => message.Subject)];
        (_prefix, Last) = (prefix, last);
        StoredMessage[] own = [.. _messages.Where(IsOwn)];
        _newest = own.FirstOrDefault();
        Sum = own.Sum(message => (long)message.Seq);
        Entries = own.ToImmutableSortedDictionary(KeyOf, message => new TopologyEntry(message.Data, (long)message.Seq), StringComparer.Ordinal);
        Foreign = [.. _messages.Where(message => !IsOwn(message) && !IsDeleted(message)).Select(KeyOf).Order(StringComparer.Ordinal)];
    }

    /// <summary>The stream's last sequence, whoever has written it.</summary>
    public long Last { get; }

    /// <summary>The last sequence that was found; 0 where nothing was.</summary>
    public long LastFound => _messages.Count > 0 ? (long)_messages[0].Seq : 0;

    /// <summary>The sum of the revisions in <see cref="Entries"/>.</summary>
    public long Sum { get; }

    /// <summary>What SCs have written.</summary>
    public ImmutableSortedDictionary<string, TopologyEntry> Entries { get; }

    /// <summary>Keys that others have written, and not deleted.</summary>
    public IReadOnlyList<string> Foreign { get; }

    /// <summary>Why <see cref="Entries"/> is not all that the last SC has left; null where it is.</summary>
    public string? Problem
    {
        get
        {
            if (_newest is null)
                return _messages.Count < Last ? "nothing of it is there any more" : null;

            // That the sum fits is not enough: where others wrote over the SCs' last message, the one before it is the newest that is left, and its
            // sum fits too. What gives it away is a key of an SC's behind that, written by others, and a sequence before it that is gone.
            bool fits = Sum == SumOf(_newest);
            StoredMessage[] behind = [.. _messages.TakeWhile(message => message != _newest).Reverse()];
            if (behind.Where((message, i) => TopologyKeys.IsOne(KeyOf(message)) && (!fits || (long)message.Seq > (long)_newest.Seq + 1 + i)).FirstOrDefault() is { } over)
                return $"'{KeyOf(over)}' was written by something that is no SC, {(fits ? "maybe " : "")}over what an SC had written";

            return fits ? null : string.Create(
                CultureInfo.InvariantCulture,
                $"{(Sum < SumOf(_newest) ? "some of what was there at" : "what was written after")} its last write that is left, revision {_newest.Seq}, is gone");
        }
    }

    /// <summary>Whether that is the same as what was read another time.</summary>
    public bool IsSame(TopologyReading? other) =>
        other is not null && Last == other.Last && _messages.Select(message => message.Seq).SequenceEqual(other._messages.Select(message => message.Seq));

    /// <summary>Whether it is a message of an SC.</summary>
    public static bool IsOwn(StoredMessage message) => SumOf(message) is not null;

    private string KeyOf(StoredMessage message) => message.Subject[_prefix.Length..];

    private static bool IsDeleted(StoredMessage message) => JetStreamServers.HeaderOf(message, KeyValueBucket.OperationHeader) is not null;

    private static long? SumOf(StoredMessage message) =>
        long.TryParse(JetStreamServers.HeaderOf(message, SumHeader), NumberStyles.None, CultureInfo.InvariantCulture, out long sum) ? sum : null;
}
