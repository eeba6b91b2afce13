namespace EdgeStream.Storage.Log;

/// <summary>One of the places where a replicated log is stored, as the one that leads sees it.</summary>
/// <param name="Server">Its name.</param>
/// <param name="IsLeader">Whether the others follow it.</param>
/// <param name="IsCurrent">Whether it has all that was acknowledged.</param>
/// <param name="Lag">How many operations it is behind.</param>
/// <param name="Active">How long ago it was heard of; zero for the leader.</param>
public sealed record ReplicaState(string Server, bool IsLeader, bool IsCurrent, long Lag, TimeSpan Active);
