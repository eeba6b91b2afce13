using EdgeStream.Cluster.Groups;

namespace EdgeStream.Cluster.Metadata;

/// <summary>How far consumer groups have read, written by whoever coordinates them; never a write per record. Safe from any thread.</summary>
public interface IPositionStore
{
    Task<IReadOnlyList<GroupPositions>> LoadGroupPositionsAsync();

    /// <summary>Durable when the task completes; where it fails, each is as it was or as it was to be.</summary>
    /// <returns>
    /// In the place of those that were not written, because a coordinator with a higher epoch has written them: what is there now.
    /// </returns>
    Task<IReadOnlyList<GroupPositions>> SaveGroupPositionsAsync(IReadOnlyCollection<GroupPositions> positions);

    /// <summary>Durable when the task completes.</summary>
    Task DeleteGroupPositionsAsync(string group, string topic);
}
