using System.Globalization;
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
/// in between locks nobody out. After that the old one is worth nothing, and so is what was given in between: what an edge has said
/// on a connection that is long dead may arrive after what it says on the next, and must not take away what that was given.
/// Tokens are numbered, so that a hub that was restored from a backup knows one that it gave later than its backup.
/// </remarks>
public sealed class CardFence(IStartTokenStore store)
{
    // Of one edge's dead connections, those that can still be on their way. Only the last ones are of any use.
    private const int MaxPending = 32;

    private const char Separator = '-';

    // So that the next one is greater, whatever an edge shows.
    private const long MaxNumber = long.MaxValue - 1;

    /// <summary>Checks what an edge shows of itself. A hub that knows of no token (its metadata was lost) takes any.</summary>
    /// <returns>The token that the edge is to keep from now on; null where the one shown stays.</returns>
    /// <exception cref="ClusterException">The token is not the last one that was given.</exception>
    public async Task<string?> AdmitAsync(string geoLocation, string shown, bool isNewStart)
    {
        string? given = null;
        bool isSaved = await TryUpdateAsync(geoLocation, stored =>
        {
            given = null;
            StartTokens known = stored ?? new StartTokens(shown.Length > 0 ? shown : null, Pending: [], NumberOf(shown));
            if (known.Pending.Contains(shown) || NumberOf(shown) > known.Given)
                known = new StartTokens(shown, Pending: [], Math.Max(known.Given, NumberOf(shown)));
            else if (known.Current is { } current && shown != current)
                throw new ClusterException(ErrorCode.CardSuperseded, Problem(geoLocation));

            if (!isNewStart && known.Current is not null)
                return known;

            long number = known.Given + 1;
            string random = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
            given = string.Create(CultureInfo.InvariantCulture, $"{number}{Separator}{random}");
            return known with { Pending = [.. known.Pending.TakeLast(MaxPending - 1), given], Given = number };
        }).ConfigureAwait(false);
        return isSaved ? given : null;
    }

    /// <summary>The edge keeps the token that it was given: the one before is worth nothing from now on.</summary>
    public Task ConfirmAsync(string geoLocation, string token) => TryUpdateAsync(
        geoLocation, known => known is not null && known.Pending.Contains(token) ? known with { Current = token, Pending = [] } : known);

    /// <summary>A full disk keeps nobody out: what was good before stays good, and no new token is given.</summary>
    private async Task<bool> TryUpdateAsync(string geoLocation, Func<StartTokens?, StartTokens?> decide)
    {
        try
        {
            await store.UpdateStartTokensAsync(geoLocation, decide).ConfigureAwait(false);
            return true;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Which of a geo-location's tokens it is, counted from 1; 0 for none. An edge can only fool itself with it.</summary>
    private static long NumberOf(string token) =>
        token.IndexOf(Separator, StringComparison.Ordinal) is > 0 and var end
        && long.TryParse(token.AsSpan(0, end), NumberStyles.None, CultureInfo.InvariantCulture, out long number)
            ? Math.Min(number, MaxNumber)
            : 0;

    private static string Problem(string geoLocation) =>
        $"another card has been '{geoLocation}' since: this one was restored from an old image, or a copy of it runs elsewhere; nothing was "
        + "changed; if this is the right one, 'edgestream join HUB --token TOKEN --replace' puts it in the other's place";
}
