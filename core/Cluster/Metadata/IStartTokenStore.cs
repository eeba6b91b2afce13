namespace EdgeStream.Cluster.Metadata;

/// <summary>At a hub: the start tokens of geo-locations, written by whichever SPU serves one. Safe from any thread.</summary>
public interface IStartTokenStore
{
    /// <summary>Null where the geo-location has not connected since it joined.</summary>
    Task<StartTokens?> FindStartTokensAsync(string geoLocation);

    /// <summary>
    /// Puts others in the place of a geo-location's tokens, in one step that nobody else's write comes in between of. Durable when the
    /// task completes.
    /// </summary>
    /// <param name="geoLocation">Whose.</param>
    /// <param name="decide">
    /// Is given those that are there, and gives back what is to be kept: the same object for no change, null to forget them. Called again
    /// where another has written meanwhile; what it throws is the task's.
    /// </param>
    /// <exception cref="IOException">They could not be written; what was there stays.</exception>
    Task UpdateStartTokensAsync(string geoLocation, Func<StartTokens?, StartTokens?> decide);
}
