using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster.Grpc;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>How name and role stand in a certificate: <c>CN=NAME, OU=ROLE, O=EdgeStream</c>.</summary>
internal static class CertificateRoles
{
    public const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    public const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private const string Organization = "EdgeStream";
    private const string CommonNameOid = "2.5.4.3";
    private const string OrganizationalUnitOid = "2.5.4.11";

    public static X500DistinguishedName Subject(string name, string unit)
    {
        var builder = new X500DistinguishedNameBuilder();
        builder.AddOrganizationName(Organization);
        builder.AddOrganizationalUnitName(unit);
        builder.AddCommonName(name);
        return builder.Build();
    }

    public static string UnitOf(CallerRole role) => role switch
    {
        CallerRole.GeoLocation => "geo-location",
        CallerRole.Spu => "spu",
        CallerRole.Admin => "admin",
        CallerRole.Producer => "producer",
        CallerRole.Consumer => "consumer",
        _ => throw new ArgumentOutOfRangeException(nameof(role), role, "has no certificate"),
    };

    /// <summary>What tells a key from others: SHA-256 of its SubjectPublicKeyInfo, in hex.</summary>
    public static string FingerprintOf(PublicKey key) => Convert.ToHexStringLower(SHA256.HashData(key.ExportSubjectPublicKeyInfo()));

    /// <summary>Name and role of a certificate that this cluster's CA has signed.</summary>
    public static (string Name, CallerRole Role) Read(X509Certificate2 certificate)
    {
        string name = "", unit = "";
        foreach (X500RelativeDistinguishedName part in certificate.SubjectName.EnumerateRelativeDistinguishedNames())
        {
            Oid type = part.GetSingleElementType();
            if (type.Value == CommonNameOid)
                name = part.GetSingleElementValue() ?? "";
            else if (type.Value == OrganizationalUnitOid)
                unit = part.GetSingleElementValue() ?? "";
        }

        CallerRole role = unit switch
        {
            "geo-location" => CallerRole.GeoLocation,
            "spu" => CallerRole.Spu,
            "admin" => CallerRole.Admin,
            "producer" => CallerRole.Producer,
            "consumer" => CallerRole.Consumer,
            _ => CallerRole.Anonymous,
        };
        return (name, role);
    }
}
