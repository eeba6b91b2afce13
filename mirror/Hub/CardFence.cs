using System.Security.Cryptography;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Metadata;

namespace EdgeStream.Mirror.Hub;

/// <summary>
/// Keeps out cards that only look like a geo-location's card: one that was restored from an image, or one of two that run with
/// the same. Safe from any thread.
/// </summary>
/// <remarks>
/// A fencing token (Kleppmann, "Designing Data-Intensive Applications", 2017, ch. 8), given anew at each start of the edge:
/// the hub keeps the new one beside the old one until the edge has said that it keeps it, so that a power cut at either side
/// in between locks nobody out. After that the old one is worth nothing.
/// </remarks>
public sealed class CardFence(IMetadataStore store)
{
    private readonly Lock _lock = new();

    /// <summary>Checks what an edge shows of itself. A hub that knows of no token (its metadata was lost) takes any.</summary>
    /// <returns>The token that the edge is to keep from now on; null where the one shown stays.</returns>
    /// <exception cref="ClusterException">The token is not the last one that was given.</exception>
    public string? Admit(string geoLocation, string shown, bool isNewStart)
    {
        lock (_lock)
        {
            StartTokens? stored = store.FindStartTokens(geoLocation);
            StartTokens known = stored ?? new StartTokens(shown.Length > 0 ? shown : null, Pending: null);
            if (shown.Length > 0 && shown == known.Pending)
                known = new StartTokens(shown, Pending: null);
            else if (known.Current is { } current && shown != current)
                throw new ClusterException(ErrorCode.CardSuperseded, Problem(geoLocation));

            if (isNewStart || known.Current is null)
                known = known with { Pending = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)) };

            if (known != stored)
                store.SaveStartTokens(geoLocation, known);

            return known.Pending;
        }
    }

    /// <summary>The edge keeps the token that it was given: the one before is worth nothing from now on.</summary>
    public void Confirm(string geoLocation, string token)
    {
        lock (_lock)
        {
            if (store.FindStartTokens(geoLocation) is { Pending: { } pending } && pending == token)
                store.SaveStartTokens(geoLocation, new StartTokens(token, Pending: null));
        }
    }

    /// <summary>The geo-location has joined anew: whatever card that is, it begins without a token.</summary>
    public void Forget(string geoLocation)
    {
        lock (_lock)
            store.SaveStartTokens(geoLocation, null);
    }

    private static string Problem(string geoLocation) =>
        $"another card has been '{geoLocation}' since: this one was restored from an old image, or a copy of it runs elsewhere; nothing was "
        + "changed; if this is the right one, 'edgestream join HUB --token TOKEN --replace' puts it in the other's place";
}
