using EdgeStream.Storage.Gaps;

namespace EdgeStream.Storage.Tools;

/// <summary>One thing that is wrong with a partition's files.</summary>
/// <param name="File">The file, with its path.</param>
/// <param name="Position">Where in it, in bytes; null where it is the file as a whole.</param>
/// <param name="First">The first offset that is concerned; null where no offset is.</param>
/// <param name="Last">The last one.</param>
/// <param name="Text">What is wrong.</param>
public sealed record PartitionProblem(string File, long? Position, long? First, long? Last, string Text)
{
    /// <summary>One line.</summary>
    public override string ToString()
    {
        string where = Position is { } position ? $"{File}: byte {position}" : File;
        return (First, Last) switch
        {
            ({ } first, { } last) when first == last => $"{where}: offset {first}: {Text}",
            ({ } first, { } last) => $"{where}: offsets {first} to {last}: {Text}",
            _ => $"{where}: {Text}",
        };
    }
}

/// <summary>What reading a partition's files through has shown.</summary>
/// <param name="Segments">Segment files.</param>
/// <param name="Batches">Good batches.</param>
/// <param name="Records">Their records.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="First">The offset that the log starts with.</param>
/// <param name="Next">The offset behind the last good record.</param>
/// <param name="WithoutIndex">Sealed segments that have no index: looking something up in them is slower, and nothing is wrong.</param>
/// <param name="Gaps">What the ledger says is lost.</param>
/// <param name="Problems">What is wrong; empty where nothing is.</param>
public sealed record PartitionFindings(
    int Segments, long Batches, long Records, long Bytes, long First, long Next, int WithoutIndex,
    IReadOnlyList<Gap> Gaps, IReadOnlyList<PartitionProblem> Problems);
