using System.Threading.Channels;

namespace EdgeStream.Cluster.Groups;

/// <summary>
/// One reader of a group, as long as it is there. What it owns is the coordinator's to change, under its lock; whoever serves the member
/// waits for changes.
/// </summary>
public sealed class GroupMember
{
    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    internal GroupMember(ConsumerGroup group, string name) => (Group, Name) = (group, name);

    /// <summary>For people.</summary>
    public string Name { get; }

    internal ConsumerGroup Group { get; }

    /// <summary>The partitions that it reads.</summary>
    internal SortedSet<int> Owned { get; } = [];

    /// <summary>Those that were taken away and that it has not released yet; nobody else may have them. It was told of each that it had it.</summary>
    internal HashSet<int> Releasing { get; } = [];

    /// <summary>What it owned when it was last told. It can read, and release, nothing else.</summary>
    internal IReadOnlySet<int> Told { get; private set; } = new HashSet<int>();

    /// <summary>When it was told to release the oldest of them, by the coordinator's clock.</summary>
    internal long ReleasingSince { get; set; }

    /// <summary>Completes when what it owns has changed since the last call, the first time at once.</summary>
    /// <exception cref="ClusterException">The topic is gone.</exception>
    public async Task WaitForChangeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _changes.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ChannelClosedException closed) when (closed.InnerException is { } reason)
        {
            throw reason;
        }
    }

    /// <summary>To be called when the member is about to be told what it owns.</summary>
    internal IReadOnlySet<int> Tell() => Told = new SortedSet<int>(Owned);

    internal void Changed() => _changes.Writer.TryWrite(true);

    internal void End(ClusterException reason) => _changes.Writer.TryComplete(reason);
}
