namespace EdgeStream.Cluster.Metadata;

/// <summary>A token that was handed out and may be redeemed once.</summary>
/// <param name="SecretHash">SHA-256 of the token's secret: the secret itself is not kept.</param>
/// <param name="GeoLocation">Whom it lets in.</param>
/// <param name="ExpiresAt">When it stops to be good.</param>
/// <param name="UsedAt">When it was redeemed; null before.</param>
public sealed record Invite(string SecretHash, string GeoLocation, DateTimeOffset ExpiresAt, DateTimeOffset? UsedAt);
