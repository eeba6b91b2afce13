namespace EdgeStream.Devices.Mqtt.Broker;

/// <summary>
/// Finds what is kept under MQTT filters by a topic, in a time that does not grow with the number of filters. Topics and filters are
/// valid ones. Not safe for several threads.
/// </summary>
internal sealed class FilterTree<T>
{
    /// <summary>Filters may have no more levels: each is a step down, also for those who look for a topic.</summary>
    public const int MaxLevels = 128;

    private readonly Node _root = new();

    private sealed class Node
    {
        public Dictionary<string, Node> Children { get; } = new(StringComparer.Ordinal);

        /// <summary>Under the filter that ends here.</summary>
        public List<T> Here { get; } = [];

        /// <summary>Under that which goes on with <c>#</c>, so for this level too ([MQTT-4.7.1-2]).</summary>
        public List<T> Below { get; } = [];

        public bool IsEmpty => Children.Count == 0 && Here.Count == 0 && Below.Count == 0;
    }

    public void Add(string filter, T value)
    {
        Node node = _root;
        foreach (string level in filter.Split('/'))
        {
            if (level == "#")
            {
                node.Below.Add(value);
                return;
            }

            if (!node.Children.TryGetValue(level, out Node? child))
                node.Children.Add(level, child = new Node());

            node = child;
        }

        node.Here.Add(value);
    }

    public void Remove(string filter, T value) => Remove(_root, filter.Split('/'), value);

    /// <summary>Adds what is kept under the filters that match.</summary>
    public void Find(string topic, List<T> found)
    {
        // [MQTT-4.7.2-1]: topics of the server itself are not matched by a leading wildcard.
        if (!topic.StartsWith('$'))
            Find(_root, topic, isAtEnd: false, found);
        else if (_root.Children.GetAlternateLookup<ReadOnlySpan<char>>()
            .TryGetValue(TakeLevel(topic, out ReadOnlySpan<char> rest, out bool isLast), out Node? own))
        {
            Find(own, rest, isLast, found);
        }
    }

    /// <param name="node">Where the levels before have led to.</param>
    /// <param name="topic">Its levels from here on.</param>
    /// <param name="isAtEnd">Whether there are none: an empty one is a level too.</param>
    /// <param name="found">Where what is found goes.</param>
    private static void Find(Node node, ReadOnlySpan<char> topic, bool isAtEnd, List<T> found)
    {
        found.AddRange(node.Below);
        if (isAtEnd)
        {
            found.AddRange(node.Here);
            return;
        }

        if (node.Children.Count == 0)
            return;

        ReadOnlySpan<char> level = TakeLevel(topic, out ReadOnlySpan<char> rest, out bool isLast);
        if (node.Children.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(level, out Node? same))
            Find(same, rest, isLast, found);

        if (node.Children.TryGetValue("+", out Node? any))
            Find(any, rest, isLast, found);
    }

    private static ReadOnlySpan<char> TakeLevel(ReadOnlySpan<char> topic, out ReadOnlySpan<char> rest, out bool isLast)
    {
        int slash = topic.IndexOf('/');
        isLast = slash < 0;
        rest = isLast ? [] : topic[(slash + 1)..];
        return isLast ? topic : topic[..slash];
    }

    private static void Remove(Node node, ReadOnlySpan<string> levels, T value)
    {
        if (levels.IsEmpty)
        {
            node.Here.Remove(value);
        }
        else if (levels[0] == "#")
        {
            node.Below.Remove(value);
        }
        else if (node.Children.TryGetValue(levels[0], out Node? child))
        {
            Remove(child, levels[1..], value);
            if (child.IsEmpty)
                node.Children.Remove(levels[0]);
        }
    }
}
