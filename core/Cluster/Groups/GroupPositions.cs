using System.Collections.Immutable;

namespace EdgeStream.Cluster.Groups;

/// <summary>How far a consumer group has read a topic.</summary>
/// <param name="Group">The group's name.</param>
/// <param name="Topic">The topic's name.</param>
/// <param name="Offsets">By partition, the first record that the group has not dealt with.</param>
/// <param name="Epoch">Of the coordinator that wrote them: one with a lower epoch is late. 0 where there is one coordinator only.</param>
public sealed record GroupPositions(string Group, string Topic, ImmutableSortedDictionary<int, long> Offsets, long Epoch = 0);
