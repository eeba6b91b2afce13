using System.Diagnostics;
using EdgeStream.Client;

namespace EdgeStream.Harness;

/// <summary>
/// The program under test: what stands beside the tests, or what <c>EDGESTREAM</c> names (the native build, for instance).
/// </summary>
public static class EdgeStreamProgram
{
    public static string Path { get; } = Environment.GetEnvironmentVariable("EDGESTREAM") is { Length: > 0 } given
        ? System.IO.Path.GetFullPath(given)
        : System.IO.Path.Combine(AppContext.BaseDirectory, "edgestream");

    /// <summary>Runs a command to its end.</summary>
    public static async Task<(int ExitCode, string Output, string Error)> RunAsync(
        IEnumerable<string> arguments, string input = "", TimeSpan? deadline = null, string? runInNamespace = null)
    {
        var start = new ProcessStartInfo(runInNamespace is null ? Path : "ip")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        IEnumerable<string> all = runInNamespace is null ? arguments : ["netns", "exec", runInNamespace, Path, .. arguments];
        foreach (string argument in all)
            start.ArgumentList.Add(argument);

        using var process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        await process.StandardInput.WriteAsync(input).ConfigureAwait(false);
        process.StandardInput.Close();
        using var limit = new CancellationTokenSource(deadline ?? TimeSpan.FromSeconds(60));
        try
        {
            await process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"edgestream {string.Join(' ', arguments)} does not end");
        }

        return (process.ExitCode, await output.ConfigureAwait(false), await error.ConfigureAwait(false));
    }

    /// <summary>Runs a command that has to work; its standard output.</summary>
    public static async Task<string> RunGoodAsync(params string[] arguments)
    {
        (int exitCode, string output, string error) = await RunAsync(arguments).ConfigureAwait(false);
        return exitCode == 0
            ? output.Trim()
            : throw new InvalidOperationException($"edgestream {string.Join(' ', arguments)} ended with {exitCode}: {error}");
    }
}
