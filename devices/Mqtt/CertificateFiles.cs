using System.Globalization;
using System.Security.Cryptography.X509Certificates;

namespace EdgeStream.Devices.Mqtt;

/// <summary>Looks at the certificate files that are configured, before anybody connects with them.</summary>
public static class CertificateFiles
{
    /// <summary>What is wrong with those of a broker to connect to, in one line each.</summary>
    /// <param name="broker">How it is connected to.</param>
    /// <param name="now">By this device's clock.</param>
    public static IReadOnlyList<string> FindProblems(MqttBrokerOptions broker, DateTimeOffset now) =>
        FindProblems("ca-file", broker.CaFile, broker.CertFile, broker.KeyFile, now);

    /// <summary>The same for the node's own broker.</summary>
    /// <inheritdoc cref="FindProblems(MqttBrokerOptions, DateTimeOffset)"/>
    public static IReadOnlyList<string> FindProblems(EmbeddedBrokerOptions broker, DateTimeOffset now) =>
        FindProblems("client-ca-file", broker.ClientCaFile, broker.CertFile, broker.KeyFile, now);

    private static string[] FindProblems(string authorities, string? caFile, string? certFile, string? keyFile, DateTimeOffset now) =>
    [
        .. Problem(caFile, () => AuthoritiesProblem(authorities, caFile!, now)),
        .. Problem(certFile, () => IdentityProblem(certFile!, keyFile!, now)),
    ];

    private static string[] Problem(string? file, Func<string?> find)
    {
        try
        {
            return file is not null && find() is { } problem ? [problem] : [];
        }
        catch (IOException error)
        {
            return [error.Message];
        }
    }

    /// <summary>A bundle may have some that are over; one that counts is enough.</summary>
    private static string? AuthoritiesProblem(string what, string file, DateTimeOffset now)
    {
        string?[] problems = [.. PemFiles.ReadAuthorities(what, file).Select(certificate => ProblemOf(certificate, now))];
        return problems.Contains(null) ? null : $"{what} '{file}' {problems[0]}";
    }

    private static string? IdentityProblem(string certFile, string keyFile, DateTimeOffset now) =>
        ProblemOf(PemFiles.ReadIdentity(certFile, keyFile).TargetCertificate, now) is { } problem ? $"cert-file '{certFile}' {problem}" : null;

    private static string? ProblemOf(X509Certificate2 certificate, DateTimeOffset now)
    {
        if (now > certificate.NotAfter)
            return $"expired on {Day(certificate.NotAfter)}; put a renewed one in its place";

        return now < certificate.NotBefore
            ? $"is valid from {Day(certificate.NotBefore)} on, and this device's clock says {Day(now.UtcDateTime)}; set the clock ('timedatectl')"
            : null;
    }

    private static string Day(DateTime time) => time.ToUniversalTime().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
}
