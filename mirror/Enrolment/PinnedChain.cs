using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>Checks a certificate against one CA and nothing else: what the machine trusts otherwise does not count.</summary>
public static class PinnedChain
{
    /// <summary>Why a certificate does not count, in a few words, or null where it does.</summary>
    /// <param name="certificate">What the other side presented.</param>
    /// <param name="authority">The only CA that is trusted.</param>
    /// <param name="purpose">OID of the extended key usage that the certificate must have.</param>
    /// <param name="at">When it must be valid; null for a side whose own clock cannot be trusted: an expired one counts there.</param>
    public static string? FindProblem(X509Certificate2 certificate, X509Certificate2 authority, string purpose, DateTimeOffset? at)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.Add(authority);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ApplicationPolicy.Add(new Oid(purpose));
        if (at is { } time)
            chain.ChainPolicy.VerificationTime = time.UtcDateTime;
        else
            chain.ChainPolicy.VerificationFlags = X509VerificationFlags.IgnoreNotTimeValid;

        try
        {
            if (chain.Build(certificate))
                return null;
        }
        catch (CryptographicException)
        {
            // One of its extensions is no ASN.1. Nobody who issues certificates here writes that.
            return "it is damaged";
        }

        X509ChainStatusFlags flags = chain.ChainStatus.Aggregate(X509ChainStatusFlags.NoError, (all, status) => all | status.Status);
        if ((flags & (X509ChainStatusFlags.PartialChain | X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.NotSignatureValid)) != 0)
            return "it was not issued by this cluster's CA";

        return (flags & X509ChainStatusFlags.NotTimeValid) != 0
            ? $"it was valid until {certificate.NotAfter.ToUniversalTime():yyyy-MM-dd}"
            : $"it does not serve this purpose ({flags})";
    }
}
