namespace EdgeStream.Cluster.Nats;

/// <summary>How a hub reaches the NATS servers that keep its partitions.</summary>
/// <param name="Servers">Their addresses, <c>nats://host:port</c> or <c>tls://host:port</c>; the first that answers will do.</param>
public sealed record JetStreamOptions(IReadOnlyList<string> Servers)
{
    /// <summary>What the servers show of this connection among their clients.</summary>
    public string ClientName { get; init; } = "edgestream";

    /// <summary>A credentials file, as <c>nsc</c> writes it; null where there is none.</summary>
    public string? CredentialsFile { get; init; }

    public string? User { get; init; }

    public string? Password { get; init; }

    /// <summary>Certificates (PEM) of who may have signed the servers'; null for those that the machine trusts.</summary>
    public string? CaFile { get; init; }

    /// <summary>The hub's own certificate (PEM), where the servers ask for one.</summary>
    public string? CertificateFile { get; init; }

    /// <summary>The key to <see cref="CertificateFile"/>.</summary>
    public string? KeyFile { get; init; }

    /// <summary>How many replicas a topic has that does not say.</summary>
    public int Replicas { get; init; } = 1;

    /// <summary>How long one question to the servers may take before it counts as lost.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How long records that were accepted wait for servers that do not answer, before their producers are told to send them again. Longer
    /// than JetStream takes to choose another leader.
    /// </summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>As one string, for messages.</summary>
    public string Address => string.Join(", ", Servers);
}
