using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Configuration;

/// <summary>Certificates that a command line or a configuration names. Whatever is wrong with a file is told with its setting and its name.</summary>
internal static class PemFiles
{
    /// <summary>A certificate without its key, a CA's for instance; also one that is DER. The caller disposes it.</summary>
    /// <param name="setting">What names the file.</param>
    /// <param name="file">The file.</param>
    /// <exception cref="EdgeStreamException">It cannot be read, or is no certificate.</exception>
    public static X509Certificate2 ReadCertificate(string setting, string file) =>
        Read(setting, file, "is no certificate (PEM)", () => X509CertificateLoader.LoadCertificate(File.ReadAllBytes(file)));

    /// <summary>A certificate with its key. The caller disposes it.</summary>
    /// <param name="setting">What names the file of the certificate.</param>
    /// <param name="file">The certificate.</param>
    /// <param name="keySetting">What names the file of the key.</param>
    /// <param name="keyFile">The key; null where that is in the file of the certificate.</param>
    /// <exception cref="EdgeStreamException">They cannot be read, or do not belong together.</exception>
    public static X509Certificate2 ReadIdentity(string setting, string file, string keySetting, string? keyFile)
    {
        ReadCertificate(setting, file).Dispose();
        return keyFile is null
            ? Read(setting, file, $"has no key in it; name the file that has it with {keySetting}", () => X509Certificate2.CreateFromPemFile(file))
            : Read(
                keySetting, keyFile, $"has not the key of the certificate '{file}'; a key goes with one certificate only, as PEM without a password",
                () => X509Certificate2.CreateFromPemFile(file, keyFile));
    }

    private static T Read<T>(string setting, string file, string problem, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new EdgeStreamException($"{setting} '{file}' does not exist", error);
        }
        catch (UnauthorizedAccessException error)
        {
            throw new EdgeStreamException($"{setting} '{file}' may not be read by user {Environment.UserName}", error);
        }
        catch (IOException error)
        {
            throw new EdgeStreamException($"{setting} '{file}' cannot be read: {error.Message}", error);
        }

        // A key of another certificate is an argument that is wrong, one of another algorithm no PEM at all.
        catch (Exception error) when (error is CryptographicException or ArgumentException)
        {
            throw new EdgeStreamException($"{setting} '{file}' {problem}", error);
        }
    }
}
