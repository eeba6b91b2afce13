using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Says in one line why a certificate is not trusted, for whoever has to put it right.</summary>
internal static class PeerCertificate
{
    /// <summary>Null where it is good.</summary>
    /// <param name="certificate">The peer's; null where it has shown none.</param>
    /// <param name="chain">Built from it.</param>
    /// <param name="errors">What TLS found.</param>
    /// <param name="host">The name that was asked for; null where no name counts.</param>
    /// <param name="authorities">The setting that says whom to trust.</param>
    /// <param name="now">By this device's clock.</param>
    public static string? ProblemOf(
        X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors, string? host, string authorities, DateTimeOffset now)
    {
        if (certificate is not X509Certificate2 known)
            return "it showed no certificate";

        if (errors == SslPolicyErrors.None)
            return null;

        if (now > known.NotAfter)
            return $"its certificate expired on {Day(known.NotAfter)}";

        if (now < known.NotBefore)
            return $"its certificate is valid from {Day(known.NotBefore)} on, and this device's clock says {Day(now.UtcDateTime)}";

        X509ChainStatusFlags status = (chain?.ChainStatus ?? []).Aggregate(X509ChainStatusFlags.NoError, (all, one) => all | one.Status);
        if ((status & (X509ChainStatusFlags.PartialChain | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.NotSignatureValid)) != 0)
            return $"its certificate was issued by nobody who is trusted here; {authorities} names the authorities";

        return errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch)
            ? $"its certificate is not for '{host}' but for {NamesOf(known)}"
            : $"its certificate is not good: {status}";
    }

    private static string NamesOf(X509Certificate2 certificate)
    {
        X509SubjectAlternativeNameExtension? alternatives = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().FirstOrDefault();
        string[] names =
        [
            .. alternatives?.EnumerateDnsNames() ?? [],
            .. alternatives?.EnumerateIPAddresses().Select(address => address.ToString()) ?? [],
        ];
        return names.Length > 0 ? string.Join(", ", names.Select(name => $"'{name}'")) : $"'{certificate.GetNameInfo(X509NameType.DnsName, false)}'";
    }

    private static string Day(DateTime time) => time.ToUniversalTime().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
}
