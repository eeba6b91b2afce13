namespace EdgeStream.Mirror.Uplink;

/// <summary>What counts as mirrored at an edge that has joined several hubs.</summary>
public enum MirrorRule
{
    /// <summary>What is durable at each of them. One that is away for long holds up acknowledgements that wait for the mirror.</summary>
    All,

    /// <summary>What is durable at one of them at least. What retention drops then may be missing at the others.</summary>
    Any,
}
