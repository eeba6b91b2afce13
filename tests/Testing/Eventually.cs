using System.Diagnostics;

namespace EdgeStream.Testing;

/// <summary>Waits for what another thread does, with a deadline that only a failing test reaches.</summary>
public static class Eventually
{
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    /// <summary>Waits until a condition holds.</summary>
    public static async Task HoldsAsync(Func<bool> condition, string what)
    {
        long start = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Stopwatch.GetElapsedTime(start) > Deadline)
                throw new TimeoutException($"it did not come to this in time: {what}");

            await Task.Delay(TimeSpan.FromMilliseconds(2)).ConfigureAwait(false);
        }
    }

    /// <summary>The task's result, in time.</summary>
    public static Task<T> InTimeAsync<T>(this Task<T> task) => task.WaitAsync(Deadline);

    public static Task InTimeAsync(this Task task) => task.WaitAsync(Deadline);

    public static Task InTimeAsync(this ValueTask task) => task.AsTask().WaitAsync(Deadline);

    public static Task<T> InTimeAsync<T>(this ValueTask<T> task) => task.AsTask().WaitAsync(Deadline);
}
