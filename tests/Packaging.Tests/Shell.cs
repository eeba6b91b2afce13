using System.ComponentModel;
using System.Diagnostics;

namespace EdgeStream.Packaging.Tests;

/// <summary>A program that was run to its end.</summary>
/// <param name="Command">It and its arguments.</param>
/// <param name="ExitCode">127 where it is not installed.</param>
/// <param name="Output">Standard output, then standard error.</param>
internal sealed record Ended(string Command, int ExitCode, string Output)
{
    /// <exception cref="InvalidOperationException">It failed.</exception>
    public string Good() =>
        ExitCode == 0 ? Output : throw new InvalidOperationException($"{Command} ended with {ExitCode}:\n{Output}");
}

internal static class Shell
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(4);

    public static Task<Ended> RunAsync(string program, params string[] arguments) => RunWithAsync("", program, arguments);

    /// <summary>Runs it with a text as its standard input.</summary>
    public static async Task<Ended> RunWithAsync(string input, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // Programs in sbin are not on everybody's path.
        start.Environment["PATH"] += ":/usr/sbin:/sbin";
        string command = $"{program} {string.Join(' ', arguments)}";
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            Task<string> errors = process.StandardError.ReadToEndAsync();
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync().WaitAsync(Limit);
            return new Ended(command, process.ExitCode, await output + await errors);
        }
        catch (Win32Exception)
        {
            return new Ended(command, 127, $"{program} is not installed");
        }
    }
}
