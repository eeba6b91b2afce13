using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// The hub's own CA: an ECDSA P-256 key in <c>DATA/ca</c>, made at the first start. It signs the hub's server certificate, those
/// of SPUs, geo-locations and clients. Whoever has that directory can pretend to be the hub: back it up, and keep it safe.
/// </summary>
public sealed class CertificateAuthority : IDisposable
{
    private const string DirectoryName = "ca";
    private const string KeyFile = "ca.key";
    private const string CertificateFile = "ca.crt";

    // Long ago, so that a device whose clock stands in the past still takes the certificates for valid.
    private static readonly DateTimeOffset NotBefore = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly DateTimeOffset AuthorityNotAfter = new(2120, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly X509Certificate2 _certificate;
    private readonly TimeProvider _time;

    private CertificateAuthority(X509Certificate2 certificate, WithdrawnKeys withdrawn, TimeProvider time)
    {
        _certificate = certificate;
        Withdrawn = withdrawn;
        _time = time;
    }

    /// <summary>Keys of geo-locations whose certificates do not count any more.</summary>
    public WithdrawnKeys Withdrawn { get; }

    /// <summary>The CA certificate, without its key.</summary>
    public X509Certificate2 Certificate => X509CertificateLoader.LoadCertificate(_certificate.RawDataMemory.Span);

    public byte[] Fingerprint => SHA256.HashData(_certificate.RawDataMemory.Span);

    public string CertificatePem => _certificate.ExportCertificatePem();

    /// <summary>Whether a data directory has a CA, or what is left of one.</summary>
    public static bool Exists(string dataDirectory) =>
        File.Exists(Path.Combine(dataDirectory, DirectoryName, KeyFile)) || File.Exists(Path.Combine(dataDirectory, DirectoryName, CertificateFile));

    /// <summary>The certificate of a data directory's CA, with its key, for who only looks; null where there is none.</summary>
    /// <exception cref="EdgeStreamException">Its key is lost or damaged, or may not be read.</exception>
    public static X509Certificate2? Find(string dataDirectory) => Exists(dataDirectory)
        ? Load(Path.Combine(dataDirectory, DirectoryName), Path.Combine(dataDirectory, DirectoryName, KeyFile))
        : null;

    /// <summary>Opens the CA of a data directory, or makes it.</summary>
    /// <exception cref="EdgeStreamException">It was made once, and its key is lost or damaged.</exception>
    public static CertificateAuthority Open(string dataDirectory, TimeProvider time)
    {
        string directory = Path.Combine(dataDirectory, DirectoryName);
        Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        string keyPath = Path.Combine(directory, KeyFile), certificatePath = Path.Combine(directory, CertificateFile);

        X509Certificate2 authority = Exists(dataDirectory) ? Load(directory, keyPath) : Make(keyPath);

        // A copy for people, and for a look at a CA whose key is lost.
        if (!File.Exists(certificatePath))
            SmallFile.Replace(DiskFiles.Instance, certificatePath, PemBytes(authority.ExportCertificatePem()));

        return new CertificateAuthority(authority, WithdrawnKeys.Open(directory), time);
    }

    /// <summary>Signs a public key for a client or a geo-location.</summary>
    /// <exception cref="ClusterException">The hub's clock cannot be right.</exception>
    public X509Certificate2 IssueClient(PublicKey key, X500DistinguishedName subject, TimeSpan validity) =>
        Issue(new CertificateRequest(subject, key, HashAlgorithmName.SHA256), [CertificateRoles.ClientAuthentication], validity, []);

    /// <summary>Makes a server certificate, with its key, for the names that a hub is reached under.</summary>
    public X509Certificate2 IssueServer(IEnumerable<string> hostNames, TimeSpan validity) =>
        IssueWithKey(CertificateRoles.Subject("hub", "hub"), [CertificateRoles.ServerAuthentication], validity, hostNames);

    /// <summary>Makes the certificate of an SPU, with its key: it is a server to edges and clients, and a client to its SC.</summary>
    public X509Certificate2 IssueSpu(int spu, IEnumerable<string> hostNames, TimeSpan validity) => IssueWithKey(
        CertificateRoles.Subject(SpuNames.Of(spu), CertificateRoles.UnitOf(CallerRole.Spu)),
        [CertificateRoles.ServerAuthentication, CertificateRoles.ClientAuthentication],
        validity,
        hostNames);

    public void Dispose() => _certificate.Dispose();

    private static X509Certificate2 Load(string directory, string keyPath)
    {
        try
        {
            return X509Certificate2.CreateFromPemFile(keyPath);
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException(
                $"the hub's CA in '{directory}' cannot be read ({error.Message}); restore it from a backup: without it no edge can connect",
                error);
        }
    }

    /// <summary>Key and certificate go into one file, so that a power cut leaves both or none.</summary>
    private static X509Certificate2 Make(string keyPath)
    {
        X509Certificate2 made = Create();
        using ECDsa key = made.GetECDsaPrivateKey()!;
        SmallFile.Replace(
            DiskFiles.Instance, keyPath, PemBytes($"{key.ExportPkcs8PrivateKeyPem()}\n{made.ExportCertificatePem()}"));
        File.SetUnixFileMode(keyPath, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return made;
    }

    private static X509Certificate2 Create()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(
            CertificateRoles.Subject($"EdgeStream hub CA {Guid.NewGuid():N}"[..40], "ca"), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, true, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        return request.CreateSelfSigned(NotBefore, AuthorityNotAfter);
    }

    private X509Certificate2 IssueWithKey(X500DistinguishedName subject, string[] purposes, TimeSpan validity, IEnumerable<string> hostNames)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using X509Certificate2 certificate = Issue(new CertificateRequest(subject, key, HashAlgorithmName.SHA256), purposes, validity, hostNames);
        return certificate.CopyWithPrivateKey(key);
    }

    private X509Certificate2 Issue(CertificateRequest request, string[] purposes, TimeSpan validity, IEnumerable<string> hostNames)
    {
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([.. purposes.Select(purpose => new Oid(purpose))], true));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, true, false));
        var names = new SubjectAlternativeNameBuilder();
        bool named = false;
        foreach (string host in hostNames)
        {
            named = true;
            if (IPAddress.TryParse(host, out IPAddress? address))
                names.AddIpAddress(address);
            else
                names.AddDnsName(host);
        }

        if (named)
            request.CertificateExtensions.Add(names.Build());

        DateTimeOffset now = _time.GetUtcNow();
        if (now < NotBefore)
        {
            throw new ClusterException(
                ErrorCode.Unavailable, $"the hub's clock stands at {now:yyyy-MM-dd}, so it issues no certificates; set it");
        }

        return request.Create(_certificate, NotBefore, now + validity, RandomNumberGenerator.GetBytes(16));
    }

    private static byte[] PemBytes(string pem) => System.Text.Encoding.ASCII.GetBytes(pem + "\n");
}
