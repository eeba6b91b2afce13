using EdgeStream.PowerCut.Writer;
using EdgeStream.Storage.Log;
using EdgeStream.Testing;

namespace EdgeStream.PowerCut.Tests;

public sealed class KillTests
{
    private const int Kills = 100;

    /// <summary>Many kills hit the same log; a new one now and then keeps it short.</summary>
    private const int KillsOfOneLog = 20;

    [Fact(Timeout = 300_000)]
    public async Task Sigkill_at_any_moment_loses_nothing_that_was_written()
    {
        var seed = new Seed();
        int promises = 0;
        for (int kill = 0; kill < Kills; kill += KillsOfOneLog)
        {
            using var temp = new TempDirectory();
            try
            {
                promises += await KillAgainAndAgainAsync(temp.Sub("log"), seed.Random);
            }
            catch (Exception error)
            {
                throw new InvalidOperationException($"{seed}, kills {kill} to {kill + KillsOfOneLog}: {error.Message}", error);
            }
        }

        Console.WriteLine($"{Kills} kills: {promises} acknowledgements kept");
    }

    private static async Task<int> KillAgainAndAgainAsync(string directory, Random random)
    {
        var options = new WriterOptions(directory, Run: 0, Producers: 4, Window: 3, SegmentBytes: 64 * 1024, Mixed: true);
        var ledger = new Ledger(directory);
        WriterProcess next = WriterProcess.Start(options);
        try
        {
            for (int kill = 1; kill <= KillsOfOneLog; kill++)
            {
                using WriterProcess writer = next;
                writer.Begin();
                next = WriterProcess.Start(options with { Run = kill });
                await writer.WaitForAcknowledgementsAsync((int)Math.Pow(1000, random.NextDouble()));
                Moment.Pass(random, TimeSpan.FromMilliseconds(4));
                await writer.KillAsync();
                ledger.Add(writer, AckLevel.Written);

                // Now and then the next writer recovers the log, and is killed in its turn before anybody has looked.
                if (random.Next(4) > 0)
                    await ledger.CheckAsync(options.ToLogOptions());
            }

            await ledger.CheckAsync(options.ToLogOptions());
            return ledger.Checked;
        }
        finally
        {
            next.Dispose();
        }
    }
}
