using System.Collections.Immutable;
using EdgeStream.Cluster.Metadata;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// In a cluster: the topics that the topology has forgotten, and of which something may be stored still. For one caller at a time.
/// </summary>
/// <remarks>
/// Order: that it is deleted is written → the SPUs are told → its records go → it is forgotten. Were the records first, an SC that is not
/// the active one any more could take them, and be refused only then.
/// </remarks>
internal sealed class DeletedTopics(IClusterTopologyStore store, ISpus spus)
{
    private ImmutableSortedDictionary<string, TopicInfo> _left =
        store.LoadDeletedTopics().ToImmutableSortedDictionary(topic => topic.Name, topic => topic, StringComparer.Ordinal);

    public IEnumerable<string> Names => Volatile.Read(ref _left).Keys;

    /// <summary>From then on it is deleted, whatever comes.</summary>
    /// <exception cref="EdgeStreamException">That could not be written; it is there as before.</exception>
    public async Task AddAsync(TopicInfo topic)
    {
        await store.SaveDeletedTopicAsync(topic).ConfigureAwait(false);
        Volatile.Write(ref _left, _left.SetItem(topic.Name, topic));
    }

    /// <summary>Deletes what is left of a topic, where there is anything, and forgets it: another may have its name. SPUs must not have it open.</summary>
    /// <exception cref="EdgeStreamException">It cannot be done now; some may be gone, and it may be tried again.</exception>
    public async Task RemoveAsync(string name)
    {
        if (!_left.TryGetValue(name, out TopicInfo? topic))
            return;

        await spus.DeleteStoredAsync(topic).ConfigureAwait(false);
        await store.DeleteTopicAsync(name).ConfigureAwait(false);
        Volatile.Write(ref _left, _left.Remove(name));
    }
}
