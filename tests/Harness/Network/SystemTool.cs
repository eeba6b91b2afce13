using System.ComponentModel;
using System.Diagnostics;

namespace EdgeStream.Harness.Network;

/// <summary>A program of the system that is run to its end.</summary>
internal static class SystemTool
{
    /// <exception cref="InvalidOperationException">It is not installed, or it failed; with its own words.</exception>
    public static void Run(string program, params string[] arguments) => RunWith("", program, arguments);

    /// <summary>Runs it with a text as its standard input.</summary>
    /// <exception cref="InvalidOperationException">It is not installed, or it failed; with its own words.</exception>
    public static void RunWith(string input, string program, params string[] arguments)
    {
        if (TryRun(program, arguments, input, out _) is { } problem)
            throw new InvalidOperationException(problem);
    }

    /// <summary>What is wrong, in the program's own words; null where it succeeded.</summary>
    public static string? TryRun(string program, params string[] arguments) => TryRun(program, arguments, "", out _);

    /// <param name="output">What it printed.</param>
    /// <param name="program">The program.</param>
    /// <param name="arguments">Its arguments.</param>
    public static string? TryRun(out string output, string program, params string[] arguments) =>
        TryRun(program, arguments, "", out output);

    private static string? TryRun(string program, string[] arguments, string input, out string output)
    {
        output = "";
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // Programs in sbin are not on everybody's path.
        start.Environment["PATH"] += ":/usr/sbin:/sbin";
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            Task<string> all = process.StandardOutput.ReadToEndAsync();
            process.StandardInput.Write(input);
            process.StandardInput.Close();
            process.WaitForExit();
            output = all.GetAwaiter().GetResult();
            string command = $"{program} {string.Join(' ', start.ArgumentList)}";
            return process.ExitCode == 0 ? null : $"{command}: {errors.GetAwaiter().GetResult().Trim()} (exit code {process.ExitCode})";
        }
        catch (Win32Exception)
        {
            return $"{program} is not installed";
        }
    }
}
