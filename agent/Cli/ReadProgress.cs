using Spectre.Console;

namespace EdgeStream.Agent.Cli;

/// <summary>A bar on standard error that shows how far something is with reading; nothing where that is no terminal.</summary>
internal static class ReadProgress
{
    /// <param name="what">What is done, in a word or two.</param>
    /// <param name="totalBytes">How much there is to read.</param>
    /// <param name="action">Gets what to call with the bytes that it has read since the last call.</param>
    /// <param name="cancellationToken">Makes the next call throw.</param>
    public static Task ShowAsync(string what, long totalBytes, Func<Action<long>, Task> action, CancellationToken cancellationToken)
    {
        if (Console.IsErrorRedirected || totalBytes <= 0)
            return action(_ => cancellationToken.ThrowIfCancellationRequested());

        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .StartAsync(context =>
            {
                ProgressTask task = context.AddTask(Markup.Escape(what), maxValue: totalBytes);
                return action(bytes =>
                {
                    cancellationToken.ThrowIfCancellationRequested();
                    task.Increment(bytes);
                });
            });
    }
}
