namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>Offsets that the log itself says it does not hold any more.</summary>
/// <param name="First">The first of them.</param>
/// <param name="Last">The last of them, inclusive.</param>
public readonly record struct OffsetGap(long First, long Last);
