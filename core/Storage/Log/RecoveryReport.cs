namespace EdgeStream.Storage.Log;

/// <summary>What opening a log found and did.</summary>
/// <param name="Created">The directory was new.</param>
/// <param name="SegmentsScanned">How many segments were read through.</param>
/// <param name="BytesScanned">How much of them, in bytes.</param>
/// <param name="TornBytes">Bytes cut off behind the last whole batch: an append that was interrupted.</param>
/// <param name="NewIncarnation">The manifest could not be read, so the log, whose records are all there, has a new identity.</param>
public sealed record RecoveryReport(bool Created, int SegmentsScanned, long BytesScanned, long TornBytes, bool NewIncarnation = false);
