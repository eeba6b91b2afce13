using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Certificates as they lie on the disk. Read anew for each use, so that renewed ones count without a restart.</summary>
internal static class PemFiles
{
    /// <param name="what">The setting that names the file.</param>
    /// <param name="file">The file.</param>
    /// <exception cref="IOException">The file cannot be read, or has no certificate in it.</exception>
    public static X509Certificate2Collection ReadAuthorities(string what, string file) => Read(what, file, () => ReadCertificates(file));

    /// <summary>A certificate with its key, and whatever else stands in its file, to be sent along with it.</summary>
    /// <exception cref="IOException">A file cannot be read, or the two do not belong together.</exception>
    public static SslStreamCertificateContext ReadIdentity(string certFile, string keyFile)
    {
        X509Certificate2Collection chain = Read("cert-file", certFile, () => ReadCertificates(certFile));
        return Read("key-file", keyFile, () =>
            SslStreamCertificateContext.Create(X509Certificate2.CreateFromPemFile(certFile, keyFile), chain, offline: true));
    }

    private static X509Certificate2Collection ReadCertificates(string file)
    {
        var certificates = new X509Certificate2Collection();
        certificates.ImportFromPemFile(file);
        return certificates.Count > 0 ? certificates : throw new CryptographicException("it has no certificate in it");
    }

    private static T Read<T>(string what, string file, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new IOException($"{what} '{file}' does not exist; put it there, or correct the setting");
        }
        catch (UnauthorizedAccessException)
        {
            throw new IOException($"user {Environment.UserName} may not read {what} '{file}'; give it to that user's group with mode 0640 (chgrp, chmod)");
        }
        catch (Exception error) when (error is CryptographicException or ArgumentException or IOException)
        {
            throw new IOException($"{what} '{file}' cannot be used: {MqttMessages.OneLine(error)}");
        }
    }
}
