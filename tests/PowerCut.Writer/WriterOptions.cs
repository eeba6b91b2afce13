using System.Globalization;
using EdgeStream.Storage.Log;
using EdgeStream.Storage.Retention;

namespace EdgeStream.PowerCut.Writer;

/// <summary>What a writer does; travels as its command line.</summary>
/// <param name="Directory">The log's directory.</param>
/// <param name="Run">The writer's number, which its records bear.</param>
/// <param name="Producers">How many append at the same time.</param>
/// <param name="Window">How many batches each of them keeps on their way.</param>
/// <param name="SegmentBytes">The log's segment size.</param>
/// <param name="Mixed">
/// Every other producer is content with <see cref="AckLevel.Written"/>; else all want <see cref="AckLevel.Durable"/>.
/// </param>
/// <param name="Appends">After how many batches a producer has done its work.</param>
public sealed record WriterOptions(
    string Directory, int Run, int Producers, int Window, int SegmentBytes, bool Mixed, int Appends = int.MaxValue)
{
    /// <summary>A full disk refuses: nothing that was acknowledged may go.</summary>
    public static LogSettings Settings { get; } = new() { Overflow = OverflowPolicy.Reject };

    public IEnumerable<string> ToArguments()
    {
        int[] numbers = [Run, Producers, Window, SegmentBytes, Mixed ? 1 : 0, Appends];
        return [Directory, .. numbers.Select(number => number.ToString(CultureInfo.InvariantCulture))];
    }

    public static WriterOptions Parse(string[] arguments)
    {
        int[] numbers = [.. arguments[1..].Select(argument => int.Parse(argument, CultureInfo.InvariantCulture))];
        return new WriterOptions(arguments[0], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4] != 0, numbers[5]);
    }

    /// <summary>What the log is opened with, by the writer and by who looks at it afterwards.</summary>
    public LogOptions ToLogOptions() => new() { SegmentBytes = SegmentBytes };
}
