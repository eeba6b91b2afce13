using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting.DataCenter;
using EdgeStream.Cluster.Metadata.JetStream;
using EdgeStream.Cluster.Nats;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Agent.Checks;

/// <summary>
/// Whether a node of a data center finds what it needs: NATS with JetStream, its SCs, and certificates that are those of its cluster. All are
/// asked at once. Changes nothing.
/// </summary>
internal static class ClusterChecks
{
    /// <param name="kind"><c>hub</c>, <c>sc</c> or <c>spu</c>.</param>
    /// <param name="configuration">What is configured.</param>
    /// <param name="data">Its data directory.</param>
    /// <param name="isRunning">Whether it runs: then others should reach it.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<IReadOnlyList<Finding>> RunAsync(
        string kind, AgentConfiguration configuration, string data, bool isRunning, CancellationToken cancellationToken)
    {
        ClusterOptions cluster = configuration.Cluster ?? new ClusterOptions();
        (List<Finding> found, string? fingerprint) = kind == "spu" ? ReadIdentity(cluster) : ReadAuthority(data, isHub: kind == "hub");
        if (configuration.JetStream is { } nats)
            found.AddRange(CheckFiles(nats));

        List<Task<Finding>> asked = [];
        if (configuration.JetStream is { } servers && JetStreamSupport.IsSupported)
        {
            asked.AddRange(servers.Servers.Select(server => ReachabilityChecks.CheckAsync(
                "NATS server", new Uri(server), "is it running, and the address right? More than half of them have to be there", cancellationToken)));
            asked.Add(CheckJetStreamAsync(servers, cluster.Name, kind == "hub" ? null : fingerprint));
        }

        if (kind == "spu")
        {
            asked.AddRange(cluster.Controllers.Select(sc => ReachabilityChecks.CheckAsync(
                "SC", new Uri(sc), "is it running, and the address right? While there is no SC, what is there goes on, and nothing changes", cancellationToken)));
            if (cluster.Controllers.Count == 0)
                found.Add(new Finding("SC", Verdict.Warning, "the configuration names none, and the command line was not looked at; say it with cluster.sc"));
        }

        if (isRunning && cluster.Advertise is { } advertised)
            asked.Add(ReachabilityChecks.CheckAsync("advertise", new Uri(advertised), "others are told to reach this node there", cancellationToken));

        found.AddRange(await Task.WhenAll(asked).ConfigureAwait(false));
        return found;
    }

    /// <summary>Of an SPU, with the fingerprint of its CA.</summary>
    private static (List<Finding> Found, string? Fingerprint) ReadIdentity(ClusterOptions cluster)
    {
        const string Subject = "identity";
        if (cluster.Identity is not { } directory)
            return ([new Finding(Subject, Verdict.Warning, "the configuration names none, and the command line was not looked at; say it with cluster.identity")], null);

        try
        {
            using SpuIdentity identity = SpuIdentity.Load(directory, cluster.Id);
            DateTimeOffset until = identity.Certificate.NotAfter;
            Finding finding = until > DateTimeOffset.UtcNow
                ? new Finding(Subject, Verdict.Ok, $"'{directory}' is that of SPU {identity.Id}, valid until {until.UtcDateTime:yyyy-MM-dd}")
                : new Finding(Subject, Verdict.Warning, $"the certificate in '{directory}' was valid until {until.UtcDateTime:yyyy-MM-dd}; make it anew with 'edgestream spu certificate'");
            return ([finding], FingerprintOf(identity.Authority));
        }
        catch (EdgeStreamException error)
        {
            return ([new Finding(Subject, Verdict.Problem, error.Message)], null);
        }
    }

    /// <summary>Of an SC or a hub: its CA, with the fingerprint.</summary>
    private static (List<Finding> Found, string? Fingerprint) ReadAuthority(string data, bool isHub)
    {
        const string Subject = "CA";
        string directory = Path.Combine(Path.GetFullPath(data), "ca");
        try
        {
            if (CertificateAuthority.Find(data) is not { } authority)
            {
                string others = isHub ? "" : "; where another SC of the cluster has been started, copy its ca there first";
                return ([new Finding(Subject, Verdict.Ok, $"'{directory}' is made at the first start{others}")], null);
            }

            using (authority)
                return ([new Finding(Subject, Verdict.Ok, $"'{directory}' can be read; a copy of it belongs to a safe place")], FingerprintOf(authority));
        }
        catch (EdgeStreamException error)
        {
            return ([new Finding(Subject, Verdict.Problem, error.Message)], null);
        }
    }

    /// <summary>What is wrong with the files that NATS is shown.</summary>
    private static IEnumerable<Finding> CheckFiles(JetStreamOptions nats)
    {
        string? problem = null;
        try
        {
            if (nats.CaFile is { } authority)
                PemFiles.ReadCertificate("storage.ca-file", authority).Dispose();

            if (nats is { CertificateFile: { } certificate, KeyFile: { } key })
                PemFiles.ReadIdentity("storage.cert-file", certificate, "storage.key-file", key).Dispose();
        }
        catch (EdgeStreamException error)
        {
            problem = error.Message;
        }

        return problem is null ? [] : [new Finding("certificate", Verdict.Warning, problem)];
    }

    private static async Task<Finding> CheckJetStreamAsync(JetStreamOptions nats, string cluster, string? fingerprint)
    {
        try
        {
            string? known = await JetStreamTopologyStore.FindAuthorityAsync(nats, cluster, NullLogger.Instance).ConfigureAwait(false);
            return known is null || fingerprint is null || known == fingerprint
                ? new Finding("JetStream", Verdict.Ok, $"answers at {nats.Address}")
                : new Finding(
                    "JetStream", Verdict.Warning,
                    $"the cluster '{cluster}' that is kept there has another CA; copy 'ca' from another of its SCs, or make the SPU's identity anew where that is");
        }
        catch (EdgeStreamException error)
        {
            return new Finding("JetStream", Verdict.Warning, error.Message);
        }
    }

    private static string FingerprintOf(X509Certificate2 certificate) => Convert.ToHexStringLower(SHA256.HashData(certificate.RawDataMemory.Span));
}
