using System.Collections.Immutable;

namespace EdgeStream.Cluster.Groups;

/// <summary>How far a consumer group has read a topic.</summary>
/// <param name="Group">The group's name.</param>
/// <param name="Topic">The topic's name.</param>
/// <param name="Offsets">By partition, the first record that the group has not dealt with.</param>
public sealed record GroupPositions(string Group, string Topic, ImmutableSortedDictionary<int, long> Offsets);
