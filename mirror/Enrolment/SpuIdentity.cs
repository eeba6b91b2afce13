using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage;
using EdgeStream.Storage.Files;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// What makes a process an SPU of a cluster: <c>spu.crt</c> and <c>spu.key</c>, with which it is a server to edges and clients and a client
/// to its SC, and <c>ca.crt</c>, the only CA that it trusts. Made where the CA is, and carried from there.
/// </summary>
public sealed class SpuIdentity : IDisposable
{
    private const string KeyFile = "spu.key";
    private const string CertificateFile = "spu.crt";
    private const string AuthorityFile = "ca.crt";

    // Who has the key renews it by hand: not often.
    private static readonly TimeSpan Validity = TimeSpan.FromDays(10 * 365);

    private SpuIdentity(int id, X509Certificate2 certificate, X509Certificate2 authority) => (Id, Certificate, Authority) = (id, certificate, authority);

    /// <summary>Its number in the cluster.</summary>
    public int Id { get; }

    /// <summary>With its key.</summary>
    public X509Certificate2 Certificate { get; }

    public X509Certificate2 Authority { get; }

    /// <summary>Makes a directory with a new identity; durable on return.</summary>
    /// <param name="directory">Made where it is missing; only its owner can read the key.</param>
    /// <param name="authority">Signs it.</param>
    /// <param name="id">The SPU's number.</param>
    /// <param name="hostNames">Under which it is reached, for programs that compare them.</param>
    /// <returns>When the certificate ends.</returns>
    /// <exception cref="EdgeStreamException">The directory has one already, which stays, or cannot be written.</exception>
    public static DateTimeOffset Create(string directory, CertificateAuthority authority, int id, IEnumerable<string> hostNames)
    {
        foreach (string file in (string[])[KeyFile, CertificateFile])
        {
            if (File.Exists(Path.Combine(directory, file)))
                throw new EdgeStreamException($"'{directory}' has a {file} already, which was not touched; choose another directory, or remove it first");
        }

        try
        {
            Directory.CreateDirectory(directory);
            using X509Certificate2 certificate = authority.IssueSpu(id, hostNames, Validity);
            using ECDsa key = certificate.GetECDsaPrivateKey()!;
            WriteKey(Path.Combine(directory, KeyFile), PemBytes(key.ExportPkcs8PrivateKeyPem()));
            Replace(AuthorityFile, authority.CertificatePem);
            Replace(CertificateFile, certificate.ExportCertificatePem());
            return certificate.NotAfter;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException($"the SPU's identity cannot be written to '{directory}': {error.Message}", error);
        }

        void Replace(string name, string pem) =>
            SmallFile.Replace(DiskFiles.Instance, Path.Combine(directory, name), PemBytes(pem));
    }

    /// <summary>Loads the identity of an SPU, and checks that it is whole.</summary>
    /// <param name="directory">Where the three files are.</param>
    /// <param name="id">The number that the SPU is told to have; null for that of the certificate.</param>
    /// <exception cref="EdgeStreamException">They are not there, do not fit together, or are another's; the message says what would help.</exception>
    public static SpuIdentity Load(string directory, int? id = null)
    {
        foreach (string file in (string[])[CertificateFile, KeyFile, AuthorityFile])
        {
            if (!File.Exists(Path.Combine(directory, file)))
            {
                throw new EdgeStreamException(
                    $"there is no {file} in '{directory}'; 'edgestream spu certificate ID --data DIR --out DIR' makes it where the SC's data are");
            }
        }

        X509Certificate2? authority = null, certificate = null;
        try
        {
            authority = Read(directory, AuthorityFile, X509CertificateLoader.LoadCertificateFromFile);
            certificate = Read(directory, CertificateFile, path => X509Certificate2.CreateFromPemFile(path, Path.Combine(directory, KeyFile)));
            (string name, CallerRole role) = CertificateRoles.Read(certificate);
            string path = Path.Combine(directory, CertificateFile);
            if (role != CallerRole.Spu || SpuNames.Parse(name) is not { } number)
                throw new EdgeStreamException($"'{path}' is not an SPU's certificate: it is that of '{name}'; 'edgestream spu certificate' makes one");

            if (id is { } wanted && wanted != number)
                throw new EdgeStreamException($"'{path}' is the certificate of SPU {number}, and this is to be SPU {wanted}; give it the directory of its own");

            // Whatever the dates say: who is asked judges them, by its own clock.
            if (PinnedChain.FindProblem(certificate, authority, CertificateRoles.ServerAuthentication, at: null) is { } problem)
                throw new EdgeStreamException($"'{path}' does not fit the {AuthorityFile} beside it: {problem}; make both anew with 'edgestream spu certificate'");

            return new SpuIdentity(number, certificate, authority);
        }
        catch
        {
            authority?.Dispose();
            certificate?.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        Certificate.Dispose();
        Authority.Dispose();
    }

    /// <summary>Nobody else can read it at any moment, and none that is there is written over.</summary>
    private static void WriteKey(string path, byte[] pem)
    {
        using var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        file.Write(pem);
        file.Flush(flushToDisk: true);
    }

    private static byte[] PemBytes(string pem) => Encoding.ASCII.GetBytes(pem + "\n");

    private static X509Certificate2 Read(string directory, string file, Func<string, X509Certificate2> read)
    {
        try
        {
            return read(Path.Combine(directory, file));
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException)
        {
            string what = file == CertificateFile ? $"{CertificateFile} and {KeyFile} in '{directory}' are damaged or do not fit together" : $"'{Path.Combine(directory, file)}' is no certificate";
            throw new EdgeStreamException($"{what} ({error.Message}); make them anew with 'edgestream spu certificate'", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new EdgeStreamException($"the SPU's identity in '{directory}' cannot be read: {error.Message}", error);
        }
    }
}
