using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Certificates as they lie on the disk. Read anew for each use, so that renewed ones count without a restart.</summary>
internal static class PemFiles
{
    /// <exception cref="IOException">The file cannot be read, or has no certificate in it.</exception>
    public static X509Certificate2Collection ReadAuthorities(string file) => Read("ca-file", file, () =>
    {
        var authorities = new X509Certificate2Collection();
        authorities.ImportFromPemFile(file);
        return authorities.Count > 0 ? authorities : throw new CryptographicException("it has no certificate in it");
    });

    /// <summary>A certificate with its key, and whatever else stands in its file, to be sent along with it.</summary>
    /// <exception cref="IOException">A file cannot be read, or the two do not belong together.</exception>
    public static SslStreamCertificateContext ReadIdentity(string certFile, string keyFile) =>
        Read("cert-file", certFile, () => Read("key-file", keyFile, () =>
        {
            var chain = new X509Certificate2Collection();
            chain.ImportFromPemFile(certFile);
            return SslStreamCertificateContext.Create(X509Certificate2.CreateFromPemFile(certFile, keyFile), chain, offline: true);
        }));

    private static T Read<T>(string what, string file, Func<T> read)
    {
        if (!File.Exists(file))
            throw new IOException($"{what} '{file}' does not exist");

        try
        {
            return read();
        }
        catch (Exception error) when (error is CryptographicException or UnauthorizedAccessException or ArgumentException)
        {
            throw new IOException($"{what} '{file}' cannot be used: {MqttMessages.OneLine(error)}");
        }
    }
}
