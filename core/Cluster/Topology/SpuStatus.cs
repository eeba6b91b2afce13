namespace EdgeStream.Cluster.Topology;

/// <summary>How an SPU is, as its SC sees it.</summary>
/// <param name="Online">It reports.</param>
/// <param name="Version">Of its software; empty where that is not known.</param>
/// <param name="NatsServer">The NATS server that it is connected to; empty where to none, or it is not known.</param>
public sealed record SpuStatus(bool Online, string Version = "", string NatsServer = "");
