using System.Collections.ObjectModel;

namespace EdgeStream.Agent.Configuration;

/// <summary>A list that is equal to another with the same elements, so that records which hold one can be compared.</summary>
internal sealed class ValueList<T>(IList<T> list) : ReadOnlyCollection<T>(list)
{
    public override bool Equals(object? obj) => obj is ValueList<T> other && this.SequenceEqual(other);

    public override int GetHashCode() => this.Aggregate(Count, HashCode.Combine);
}

/// <summary>A dictionary that is equal to another with the same entries.</summary>
internal sealed class ValueDictionary<TKey, TValue>(IDictionary<TKey, TValue> dictionary) : ReadOnlyDictionary<TKey, TValue>(dictionary)
    where TKey : notnull
{
    public override bool Equals(object? obj) => obj is ValueDictionary<TKey, TValue> other
        && Count == other.Count
        && this.All(entry => other.TryGetValue(entry.Key, out TValue? value) && Equals(entry.Value, value));

    public override int GetHashCode() => Count;
}
