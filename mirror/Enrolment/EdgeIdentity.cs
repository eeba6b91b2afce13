using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// What makes this edge a geo-location of a hub: its key and certificate, the hub's CA and address. In
/// <c>DATA/identity</c>, which only the owner can read; the key never leaves it.
/// </summary>
public sealed class EdgeIdentity : IDisposable
{
    private const string KeyFile = "edge.key";
    private const string CertificateFile = "edge.crt";
    private const string AuthorityFile = "hub-ca.crt";
    private const string HubFile = "hub";

    private X509Certificate2 _certificate;

    private EdgeIdentity(string directory, string hub, X509Certificate2 certificate, X509Certificate2 authority)
    {
        Directory = directory;
        Hub = hub;
        _certificate = certificate;
        Authority = authority;
        GeoLocation = CertificateRoles.Read(certificate).Name;
    }

    /// <summary>Where its files lie.</summary>
    internal string Directory { get; }

    /// <summary>The hub's address, <c>host:port</c>.</summary>
    public string Hub { get; }

    /// <summary>The name of this edge in the hub's topology.</summary>
    public string GeoLocation { get; }

    /// <summary>This edge's certificate, the newest, with its key.</summary>
    public X509Certificate2 Certificate => Volatile.Read(ref _certificate);

    public X509Certificate2 Authority { get; }

    /// <summary>The identity of a data directory; null where it has joined no hub.</summary>
    /// <exception cref="EdgeStreamException">The files are there, but cannot be read.</exception>
    public static EdgeIdentity? Load(string dataDirectory)
    {
        string directory = PathOf(dataDirectory);
        string hubPath = Path.Combine(directory, HubFile);

        // Written last: where it is, the others are.
        if (!File.Exists(hubPath))
            return null;

        try
        {
            return new EdgeIdentity(
                directory,
                File.ReadAllText(hubPath).Trim(),
                X509Certificate2.CreateFromPemFile(Path.Combine(directory, CertificateFile), Path.Combine(directory, KeyFile)),
                X509CertificateLoader.LoadCertificateFromFile(Path.Combine(directory, AuthorityFile)));
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException(
                $"the identity in '{directory}' cannot be read ({error.Message}); join the hub again with a new token", error);
        }
    }

    /// <summary>Keeps an identity; durable on return.</summary>
    public static void Save(string dataDirectory, string hub, ECDsa key, X509Certificate2 certificate, X509Certificate2 authority)
    {
        string directory = PathOf(dataDirectory);
        System.IO.Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Forget(dataDirectory);
        Replace(KeyFile, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(Path.Combine(directory, KeyFile), UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Replace(CertificateFile, certificate.ExportCertificatePem());
        Replace(AuthorityFile, authority.ExportCertificatePem());
        Replace(HubFile, hub);

        void Replace(string name, string contents) =>
            SmallFile.Replace(DiskFiles.Instance, Path.Combine(directory, name), LineOf(contents));
    }

    /// <summary>
    /// Takes a newer certificate of the same key and name into use; durable on return. A power cut leaves the former one or this
    /// one, and the hub accepts both. For one caller at a time.
    /// </summary>
    /// <exception cref="EdgeStreamException">It is none for this edge; nothing was changed.</exception>
    public void Renew(X509Certificate2 issued)
    {
        if (FindProblem(issued) is { } problem)
            throw new EdgeStreamException($"the certificate that the hub {Hub} has issued is not taken: {problem}; ask its operator");

        using ECDsa key = Certificate.GetECDsaPrivateKey()!;
        SmallFile.Replace(DiskFiles.Instance, Path.Combine(Directory, CertificateFile), LineOf(issued.ExportCertificatePem()));

        // The former one may be in use by a connection, so it is left to the garbage collector.
        Volatile.Write(ref _certificate, issued.CopyWithPrivateKey(key));
    }

    /// <summary>Removes the identity; records are not touched.</summary>
    public static void Forget(string dataDirectory)
    {
        string directory = PathOf(dataDirectory);
        foreach (string name in (string[])[HubFile, CertificateFile, KeyFile, AuthorityFile])
            DiskFiles.Instance.Delete(Path.Combine(directory, name));

        DiskFiles.Instance.SyncDirectory(directory);
    }

    public void Dispose()
    {
        Certificate.Dispose();
        Authority.Dispose();
    }

    /// <summary>Whatever the dates say: the edge's clock may be decades off.</summary>
    private string? FindProblem(X509Certificate2 issued)
    {
        if (PinnedChain.FindProblem(issued, Authority, CertificateRoles.ClientAuthentication, at: null) is { } problem)
            return problem;

        if (CertificateRoles.FingerprintOf(issued.PublicKey) != CertificateRoles.FingerprintOf(Certificate.PublicKey))
            return "it is for another key";

        string name = CertificateRoles.Read(issued).Name;
        return name == GeoLocation ? null : $"it is for '{name}'";
    }

    private static byte[] LineOf(string text) => Encoding.UTF8.GetBytes(text + "\n");

    private static string PathOf(string dataDirectory) => Path.Combine(dataDirectory, "identity");
}
