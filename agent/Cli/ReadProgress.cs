namespace EdgeStream.Agent.Cli;

/// <summary>A bar that shows how far something is with reading, and a way to end it.</summary>
internal static class ReadProgress
{
    /// <param name="what">What is done, in a word or two.</param>
    /// <param name="totalBytes">How much there is to read.</param>
    /// <param name="action">Gets what to call with the bytes that it has read since the last call.</param>
    /// <param name="cancellationToken">Makes the next call throw.</param>
    public static Task ShowAsync(string what, long totalBytes, Func<Action<long>, Task> action, CancellationToken cancellationToken)
    {
        long done = 0;
        return ProgressBar.RunAsync(what, totalBytes, show => action(bytes =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            show(done += bytes);
        }));
    }
}
