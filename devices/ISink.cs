namespace EdgeStream.Devices;

/// <summary>
/// Something that acts on the records of a topic: switches a line, publishes a message. Each at least once, unless it has expired
/// before. Its counters count as received what it was handed, as stored what it has carried out, as dropped what it never will.
/// </summary>
public interface ISink : ISupervised
{
    /// <summary>The EdgeStream topic.</summary>
    string Topic { get; }
}
