using EdgeStream.Storage.Records;
using Google.Protobuf;

namespace EdgeStream.Mirror.Live;

/// <summary>The latest record of each key, as far as there is room: of many keys, those that were written last. For one caller at a time.</summary>
internal sealed class LatestByKey
{
    public const int MaxKeys = 1000;
    public const int MaxValueBytes = 16 * 1024;
    private const int MaxBytes = 1024 * 1024;

    // Keys as text of their bytes, which a dictionary compares; null stands for records without one.
    private readonly Dictionary<ByteString, (V1.LiveValue Value, long Since)> _values = [];
    private long _bytes;

    private static readonly ByteString NoKey = ByteString.CopyFromUtf8("\0no key");

    /// <summary>Ascending by offset.</summary>
    public IEnumerable<V1.LiveValue> Values => _values.Values.Select(known => known.Value).OrderBy(value => value.Offset);

    /// <summary>
    /// The same, those first whose key has been here longest without being removed: who takes from the front lets each key have
    /// its turn, however often others are written.
    /// </summary>
    public IEnumerable<V1.LiveValue> Waiting => _values.Values.OrderBy(known => known.Since).Select(known => known.Value);

    public void Take(in Record record)
    {
        if (record.Value is not { } value || value.Length > MaxValueBytes || record.Key is { Length: > MaxValueBytes })
            return;

        var latest = new V1.LiveValue { Value = ByteString.CopyFrom(value.Span), Offset = record.Offset, Timestamp = record.Timestamp };
        if (record.Key is { } key)
            latest.Key = ByteString.CopyFrom(key.Span);

        TryTake(latest);
    }

    /// <summary>Takes a value where it is newer than what is known of its key; false where it is not, or is too large.</summary>
    public bool TryTake(V1.LiveValue value)
    {
        ByteString key = KeyOf(value);
        if (value.Value.Length > MaxValueBytes || key.Length > MaxValueBytes)
            return false;

        long since = value.Offset;
        if (_values.TryGetValue(key, out (V1.LiveValue Value, long Since) known))
        {
            if (known.Value.Offset >= value.Offset)
                return false;

            since = known.Since;
            _bytes -= SizeOf(known.Value);
        }

        _values[key] = (value, since);
        _bytes += SizeOf(value);
        while (_values.Count > MaxKeys || _bytes > MaxBytes)
            Remove(_values.Values.MinBy(oldest => oldest.Value.Offset).Value);

        return true;
    }

    /// <summary>Forgets what lies before an offset.</summary>
    public void RemoveBefore(long offset)
    {
        foreach ((V1.LiveValue value, _) in _values.Values.Where(known => known.Value.Offset < offset).ToArray())
            Remove(value);
    }

    public void Remove(V1.LiveValue value)
    {
        if (_values.Remove(KeyOf(value)))
            _bytes -= SizeOf(value);
    }

    private static ByteString KeyOf(V1.LiveValue value) => value.HasKey ? value.Key : NoKey;

    private static int SizeOf(V1.LiveValue value) => value.Value.Length + (value.HasKey ? value.Key.Length : 0) + 64;
}
