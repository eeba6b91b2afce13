namespace EdgeStream.Cluster.Metadata;

/// <summary>
/// By which a hub tells a geo-location's card from an old image or a copy of it: each start of the edge gets another token, and
/// only the last one counts.
/// </summary>
/// <param name="Current">What the edge was last known to hold; null where it has none yet.</param>
/// <param name="Pending">What it was given since and has not said that it keeps, oldest first.</param>
/// <param name="Given">How many tokens the geo-location was given so far.</param>
public sealed record StartTokens(string? Current, IReadOnlyList<string> Pending, long Given = 0);
