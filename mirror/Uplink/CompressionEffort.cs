namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// How hard to compress: harder while it takes a small part of the time that the link takes for what comes of it, less hard where
/// it takes a large one. So a slow link carries fewer bytes, and a fast one does not wait for the processor.
/// </summary>
internal sealed class CompressionEffort
{
    // Each takes some ten times as long as the one before. Those between compress readings hardly better, or worse, than the next below.
    private static readonly int[] Levels = [1, 9, 15];

    // As far apart as levels are, so that a step up is not followed by one down. While half of the link's time is computed, the
    // window's data still keeps it busy.
    private const double Small = 1.0 / 20;
    private const double Large = 1.0 / 2;

    private int _step;

    /// <summary>zstd's level for the next chunk.</summary>
    public int Level => Levels[_step];

    /// <summary>What a chunk took.</summary>
    /// <param name="computed">To compress it.</param>
    /// <param name="onLink">To send what that gave.</param>
    public void Note(TimeSpan computed, TimeSpan onLink)
    {
        if (computed > onLink * Large)
            _step = Math.Max(0, _step - 1);
        else if (computed < onLink * Small)
            _step = Math.Min(Levels.Length - 1, _step + 1);
    }
}
