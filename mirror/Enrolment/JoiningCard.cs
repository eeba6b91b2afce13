namespace EdgeStream.Mirror.Enrolment;

/// <summary>What an edge says of the card that joins.</summary>
/// <param name="Incarnations">The identities of its mirror logs.</param>
/// <param name="Replaces">
/// It takes the place of another card of the geo-location: its logs go on behind what the hub holds. Otherwise a hub that was
/// filled from other logs refuses.
/// </param>
public sealed record JoiningCard(IReadOnlyCollection<string> Incarnations, bool Replaces)
{
    /// <summary>A card without logs, that replaces none.</summary>
    public static JoiningCard New { get; } = new([], Replaces: false);
}
