namespace EdgeStream.Storage.Log;

/// <summary>What opening a log found and did.</summary>
/// <param name="Created">The directory was new.</param>
/// <param name="SegmentsScanned">How many segments were read, from the checkpoint on.</param>
/// <param name="BytesScanned">How much of them, in bytes.</param>
/// <param name="TornBytes">Bytes of an interrupted append behind the last whole batch.</param>
/// <param name="LostRecords">Records that had to be given up and were noted as gaps.</param>
/// <param name="NewIncarnation">The manifest could not be read, so the log, whose records are all there, has a new identity.</param>
public sealed record RecoveryReport(
    bool Created, int SegmentsScanned, long BytesScanned, long TornBytes, long LostRecords = 0, bool NewIncarnation = false);
