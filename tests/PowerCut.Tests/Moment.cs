using System.Diagnostics;

namespace EdgeStream.PowerCut.Tests;

/// <summary>
/// A random moment that lies between two events which can be waited for. How long it lasts is a parameter of the load: nothing is
/// waited for here, and a test passes whatever it turns out to be.
/// </summary>
internal static class Moment
{
    public static void Pass(Random random, TimeSpan most)
    {
        // Squared: short ones more often, since what is interesting follows closely on what was reported.
        TimeSpan length = most * Math.Pow(random.NextDouble(), 2);
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start) < length)
            Thread.Yield();
    }
}
