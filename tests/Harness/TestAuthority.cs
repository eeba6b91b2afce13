using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Harness;

/// <summary>A certificate authority with its files in a directory: <c>NAME.pem</c>, and <c>NAME.key</c> of what it has issued.</summary>
public sealed class TestAuthority : IDisposable
{
    private readonly string _directory;
    private readonly X509Certificate2 _own;

    public TestAuthority(string directory, string name = "ca")
    {
        _directory = directory;
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        _own = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddYears(-3), DateTimeOffset.UtcNow.AddYears(3));
        File = Path.Combine(directory, name + ".pem");
        System.IO.File.WriteAllText(File, _own.ExportCertificatePem());
    }

    /// <summary>Its own certificate.</summary>
    public string File { get; }

    /// <summary>Issues a certificate for a host or a client; it began <paramref name="age"/> ago and lives for two days.</summary>
    public (string Cert, string Key) Issue(string name, string host = "localhost", TimeSpan? age = null)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        if (IPAddress.TryParse(host, out IPAddress? address))
            names.AddIpAddress(address);
        else
            names.AddDnsName(host);

        request.CertificateExtensions.Add(names.Build());
        DateTimeOffset from = DateTimeOffset.UtcNow - (age ?? TimeSpan.FromDays(1));
        using X509Certificate2 certificate = request.Create(_own, from, from.AddDays(2), RandomNumberGenerator.GetBytes(8));
        (string Cert, string Key) files = (Path.Combine(_directory, name + ".crt"), Path.Combine(_directory, name + ".key"));
        System.IO.File.WriteAllText(files.Cert, certificate.ExportCertificatePem());
        System.IO.File.WriteAllText(files.Key, key.ExportPkcs8PrivateKeyPem());
        return files;
    }

    public void Dispose() => _own.Dispose();
}
