using System.Text;

namespace EdgeStream.PowerCut.Writer;

/// <summary>
/// The writer's report on its standard output, which is a pipe: what was said before the writer was killed can still be read.
/// Each line is one write, so there is no half of one. Safe from any thread.
/// </summary>
public sealed class Report(Stream output)
{
    /// <summary>The program runs and waits for a line on its standard input.</summary>
    public const string Ready = "ready";

    /// <summary>The log is being opened.</summary>
    public const string Opening = "opening";

    /// <summary>The log is open.</summary>
    public const string Opened = "opened";

    /// <summary>The log said that there is no room.</summary>
    public const string Full = "full";

    /// <summary>The log could not be opened, or said that it has stopped; the reason follows.</summary>
    public const string Failed = "failed";

    /// <summary>All producers have done their work and the log was closed.</summary>
    public const string Done = "done";

    private readonly Lock _lock = new();

    public void Line(string line)
    {
        lock (_lock)
            output.Write(Encoding.UTF8.GetBytes(line + "\n"));
    }
}
