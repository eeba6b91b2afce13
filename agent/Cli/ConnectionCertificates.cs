using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Agent.Cli;

/// <summary>The certificates that a command line names. Whatever is wrong with a file is told with its option and its name.</summary>
internal static class ConnectionCertificates
{
    /// <summary>The CA, or any certificate, as PEM or DER. The caller disposes it.</summary>
    /// <param name="option">That names the file.</param>
    /// <param name="file">The file.</param>
    /// <exception cref="CommandException">It cannot be read, or is no certificate.</exception>
    public static X509Certificate2 ReadCertificate(string option, string file) =>
        Read(option, file, "is no certificate (PEM)", () => X509CertificateLoader.LoadCertificate(File.ReadAllBytes(file)));

    /// <summary>A client's certificate with its key. The caller disposes it.</summary>
    /// <param name="certificateFile">What <c>--cert</c> names.</param>
    /// <param name="keyFile">What <c>--key-file</c> names; null where the key is in the file of the certificate.</param>
    /// <exception cref="CommandException">They cannot be read, or do not belong together.</exception>
    public static X509Certificate2 ReadIdentity(string certificateFile, string? keyFile)
    {
        ReadCertificate("--cert", certificateFile).Dispose();
        return keyFile is null
            ? Read("--cert", certificateFile, "has no key in it; name the file that has it with --key-file", () => X509Certificate2.CreateFromPemFile(certificateFile))
            : Read(
                "--key-file", keyFile, $"has not the key of the certificate '{certificateFile}'; a key goes with one certificate only, as PEM without a password",
                () => X509Certificate2.CreateFromPemFile(certificateFile, keyFile));
    }

    private static T Read<T>(string option, string file, string problem, Func<T> read)
    {
        try
        {
            return read();
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CommandException($"{option} '{file}' does not exist");
        }
        catch (UnauthorizedAccessException)
        {
            throw new CommandException($"{option} '{file}' may not be read by user {Environment.UserName}");
        }
        catch (IOException error)
        {
            throw new CommandException($"{option} '{file}' cannot be read: {error.Message}");
        }

        // A key of another certificate is an argument that is wrong, one of another algorithm no PEM at all.
        catch (Exception error) when (error is CryptographicException or ArgumentException)
        {
            throw new CommandException($"{option} '{file}' {problem}");
        }
    }
}
