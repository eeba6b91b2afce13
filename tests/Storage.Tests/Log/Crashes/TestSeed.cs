namespace EdgeStream.Storage.Tests.Log.Crashes;

/// <summary>
/// The seed of a random test: a new one for each run, printed, or the one that EDGESTREAM_SEED names. The log's two loops take
/// turns as they like, so a seed repeats what was asked of the log, and may take a few runs to repeat the order on the disk.
/// </summary>
internal static class TestSeed
{
    public static int Choose(ITestOutputHelper output)
    {
        int seed = Environment.GetEnvironmentVariable("EDGESTREAM_SEED") is { } given
            ? int.Parse(given)
            : Random.Shared.Next(int.MaxValue / 2);
        output.WriteLine($"EDGESTREAM_SEED={seed}");
        return seed;
    }
}
