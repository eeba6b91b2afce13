using System.ComponentModel;
using System.Diagnostics;

namespace EdgeStream.Testing.Power;

/// <summary>A system's program that is run to its end.</summary>
public static class Tool
{
    /// <summary>What is wrong, in the program's own words; null where it succeeded.</summary>
    public static string? TryRun(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true };

        // Programs in sbin are not on everybody's path.
        start.Environment["PATH"] += ":/usr/sbin:/sbin";
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            string errors = process.StandardError.ReadToEnd();
            output.Wait();
            process.WaitForExit();
            string command = $"{program} {string.Join(' ', arguments)}";
            return process.ExitCode == 0 ? null : $"{command}: {errors.Trim()} (exit code {process.ExitCode})";
        }
        catch (Win32Exception)
        {
            return $"{program} is not installed";
        }
    }

    public static void Run(string program, params string[] arguments)
    {
        if (TryRun(program, arguments) is { } problem)
            throw new InvalidOperationException(problem);
    }
}
