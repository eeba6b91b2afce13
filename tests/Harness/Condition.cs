using System.Diagnostics;

namespace EdgeStream.Harness;

/// <summary>Waits for what has to become true, with a deadline that says what did not.</summary>
public static class Condition
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

    public static Task WaitAsync(string what, Func<bool> condition, TimeSpan? deadline = null) =>
        WaitAsync(() => what, () => Task.FromResult(condition()), deadline);

    /// <param name="what">What is waited for, asked when it did not come.</param>
    /// <param name="condition">Asked again and again.</param>
    /// <param name="deadline">When to give up; 30 seconds where it is null.</param>
    public static async Task WaitAsync(Func<string> what, Func<Task<bool>> condition, TimeSpan? deadline = null)
    {
        TimeSpan limit = deadline ?? TimeSpan.FromSeconds(30);
        var elapsed = Stopwatch.StartNew();
        while (!await condition().ConfigureAwait(false))
        {
            if (elapsed.Elapsed > limit)
                throw new TimeoutException($"after {limit.TotalSeconds:0} s still not so: {what()}");

            await Task.Delay(Interval).ConfigureAwait(false);
        }
    }
}
