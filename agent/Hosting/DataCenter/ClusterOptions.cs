namespace EdgeStream.Agent.Hosting.DataCenter;

/// <summary>What makes a process part of a cluster.</summary>
internal sealed record ClusterOptions
{
    /// <summary>Which of the clusters that may share NATS servers.</summary>
    public string Name { get; init; } = "edgestream";

    /// <summary>How others reach this process: <c>https://host:port</c>; null for this machine's name and the port that it listens on.</summary>
    public string? Advertise { get; init; }

    /// <summary>
    /// Of an SC (<c>--accept-metadata</c>): whether it goes on with what is left of a topology of which some is lost or overwritten, the first time
    /// that it becomes the active one.
    /// </summary>
    public bool AcceptsLoss { get; init; }

    /// <summary>Of an SPU: its number; null for that of its identity.</summary>
    public int? Id { get; init; }

    /// <summary>Of an SPU: where it stands, such as a rack.</summary>
    public string? Zone { get; init; }

    /// <summary>Of an SPU: where the SCs are.</summary>
    public IReadOnlyList<string> Controllers { get; init; } = [];

    /// <summary>Of an SPU: the directory that <c>edgestream spu certificate</c> has made.</summary>
    public string? Identity { get; init; }
}
