using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// What makes this edge a geo-location of a hub: its key and certificate, the hub's CA and address. One for each hub that it has
/// joined, in <c>DATA/identity/ID</c>, which only the owner can read; the key never leaves it.
/// </summary>
public sealed class EdgeIdentity : IDisposable
{
    private const string DirectoryName = "identity";
    private const int IdBytes = 8;
    private const string KeyFile = "edge.key";
    private const string CertificateFile = "edge.crt";
    private const string AuthorityFile = "hub-ca.crt";
    private const string HubFile = "hub";

    // While it is there, the logs have to be fitted to what the hub holds.
    private const string ReplacesFile = "replaces-card";

    private X509Certificate2 _certificate;

    private EdgeIdentity(string directory, string hub, X509Certificate2 certificate, X509Certificate2 authority)
    {
        Directory = directory;
        Id = Path.GetFileName(directory);
        Hub = hub;
        _certificate = certificate;
        Authority = authority;
        GeoLocation = CertificateRoles.Read(certificate).Name;
    }

    /// <summary>Where its files lie.</summary>
    internal string Directory { get; }

    /// <summary>Tells the hub from others: the beginning of its CA's fingerprint, in hex.</summary>
    public string Id { get; }

    /// <summary>
    /// Whether this card was put in the place of another one, and its logs do not go on behind what the hub holds yet.
    /// </summary>
    internal bool MustReplaceLogs => File.Exists(Path.Combine(Directory, ReplacesFile));

    /// <summary>The logs go on behind what the hub holds; durable on return.</summary>
    internal void LogsAreReplaced()
    {
        DiskFiles.Instance.Delete(Path.Combine(Directory, ReplacesFile));
        DiskFiles.Instance.SyncDirectory(Directory);
    }

    /// <summary>The hub's address as it was given at join, <c>host:port</c>; of a cluster perhaps several, separated by commas.</summary>
    public string Hub { get; }

    /// <summary>Whether the hub was joined under an address, perhaps among others.</summary>
    /// <param name="address"><c>host:port</c>.</param>
    public bool IsAt(string address) => Hub.Split(',').Contains(address);

    /// <summary>The name of this edge in the hub's topology.</summary>
    public string GeoLocation { get; }

    /// <summary>This edge's certificate, the newest, with its key.</summary>
    public X509Certificate2 Certificate => Volatile.Read(ref _certificate);

    public X509Certificate2 Authority { get; }

    /// <param name="authorityFingerprint">SHA-256 of the hub's CA certificate.</param>
    public static string IdOf(ReadOnlySpan<byte> authorityFingerprint) => Convert.ToHexStringLower(authorityFingerprint[..IdBytes]);

    /// <summary>The <see cref="Id"/>s of the hubs that the edge of a data directory has joined.</summary>
    /// <exception cref="EdgeStreamException">The directory cannot be read.</exception>
    public static IReadOnlyList<string> List(string dataDirectory)
    {
        string all = Path.Combine(dataDirectory, DirectoryName);
        try
        {
            IEnumerable<string> ids = System.IO.Directory.Exists(all) ? System.IO.Directory.GetDirectories(all).Select(path => Path.GetFileName(path)) : [];
            return [.. ids.Where(id => IsJoined(dataDirectory, id)).Order(StringComparer.Ordinal)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException($"the identities in '{all}' cannot be read: {error.Message}", error);
        }
    }

    /// <summary>The identity at one hub; null where the edge has not joined it.</summary>
    /// <exception cref="EdgeStreamException">The files are there, but cannot be read.</exception>
    public static EdgeIdentity? Load(string dataDirectory, string id)
    {
        if (!IsJoined(dataDirectory, id))
            return null;

        string directory = PathOf(dataDirectory, id);

        try
        {
            return new EdgeIdentity(
                directory,
                File.ReadAllText(Path.Combine(directory, HubFile)).Trim(),
                X509Certificate2.CreateFromPemFile(Path.Combine(directory, CertificateFile), Path.Combine(directory, KeyFile)),
                X509CertificateLoader.LoadCertificateFromFile(Path.Combine(directory, AuthorityFile)));
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException(
                $"the identity in '{directory}' cannot be read ({error.Message}); join the hub again with a new token", error);
        }
    }

    /// <summary>Keeps an identity, in place of one at the same hub; durable on return.</summary>
    /// <returns>Its <see cref="Id"/>.</returns>
    public static string Save(
        string dataDirectory, string hub, ECDsa key, X509Certificate2 certificate, X509Certificate2 authority, bool replacesCard)
    {
        string id = IdOf(SHA256.HashData(authority.RawDataMemory.Span)), directory = PathOf(dataDirectory, id);
        Forget(dataDirectory, id);
        System.IO.Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        DiskFiles.Instance.SyncDirectory(Path.GetDirectoryName(directory)!);
        DiskFiles.Instance.SyncDirectory(dataDirectory);
        Replace(KeyFile, key.ExportPkcs8PrivateKeyPem());
        File.SetUnixFileMode(Path.Combine(directory, KeyFile), UnixFileMode.UserRead | UnixFileMode.UserWrite);
        Replace(CertificateFile, certificate.ExportCertificatePem());
        Replace(AuthorityFile, authority.ExportCertificatePem());
        if (replacesCard)
            Replace(ReplacesFile, "");

        Replace(HubFile, hub);
        return id;

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

    /// <summary>Removes the identity at a hub where there is one; durable on return. Records are not touched.</summary>
    public static void Forget(string dataDirectory, string id)
    {
        string directory = PathOf(dataDirectory, id);
        if (!System.IO.Directory.Exists(directory))
            return;

        // What makes an identity of the files goes first, so that a power cut leaves none that is incomplete.
        DiskFiles.Instance.Delete(Path.Combine(directory, HubFile));
        DiskFiles.Instance.SyncDirectory(directory);
        System.IO.Directory.Delete(directory, recursive: true);
        DiskFiles.Instance.SyncDirectory(Path.GetDirectoryName(directory)!);
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

    /// <summary>By the file that is written last: where it is, the others are.</summary>
    private static bool IsJoined(string dataDirectory, string id) => File.Exists(Path.Combine(PathOf(dataDirectory, id), HubFile));

    private static string PathOf(string dataDirectory, string id) => Path.Combine(dataDirectory, DirectoryName, id);
}
