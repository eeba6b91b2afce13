namespace EdgeStream.Devices;

/// <summary>What does not work of something that runs all the same.</summary>
/// <param name="Extent">How much of it works, such as <c>1 of 2 files</c>.</param>
/// <param name="Problems">A line for each part that does not; one at least.</param>
public sealed record Shortfall(string Extent, IReadOnlyList<string> Problems);
