using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Enrolment;

public sealed class CertificateAuthorityTests : IDisposable
{
    private readonly TempDirectory _temp = new();

    private string KeyPath => _temp.Sub("ca/ca.key");

    private string CertificatePath => _temp.Sub("ca/ca.crt");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void Reopened_authority_is_the_same()
    {
        byte[] fingerprint = MakeAndClose();
        using CertificateAuthority again = Open();
        Assert.Equal(fingerprint, again.Fingerprint);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(KeyPath));
        Assert.False(again.Certificate.HasPrivateKey);
        Assert.DoesNotContain("PRIVATE", File.ReadAllText(CertificatePath), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("missing")]
    [InlineData("empty")]
    [InlineData("garbage")]
    [InlineData("another's")]
    public void Lost_key_is_told_and_nothing_is_made_anew(string loss)
    {
        MakeAndClose();
        switch (loss)
        {
            case "missing":
                File.Delete(KeyPath);
                break;
            case "another's":
                using (var other = System.Security.Cryptography.ECDsa.Create())
                    File.WriteAllText(KeyPath, other.ExportPkcs8PrivateKeyPem() + "\n" + File.ReadAllText(CertificatePath));

                break;
            default:
                File.WriteAllText(KeyPath, loss == "empty" ? "" : "garbage");
                break;
        }

        IReadOnlyDictionary<string, string> before = TempDirectory.Snapshot(_temp.Path);
        Assert.Contains("restore it from a backup", Assert.Throws<EdgeStreamException>(() => Open()).Message, StringComparison.Ordinal);
        Assert.Equal(before, TempDirectory.Snapshot(_temp.Path));
    }

    [Fact]
    public void Lost_certificate_is_written_again()
    {
        byte[] fingerprint = MakeAndClose();
        string certificate = File.ReadAllText(CertificatePath);
        File.Delete(CertificatePath);
        using CertificateAuthority again = Open();
        Assert.Equal(fingerprint, again.Fingerprint);
        Assert.Equal(certificate, File.ReadAllText(CertificatePath));
    }

    private byte[] MakeAndClose()
    {
        using CertificateAuthority authority = Open();
        return authority.Fingerprint;
    }

    private CertificateAuthority Open() => CertificateAuthority.Open(_temp.Path, TimeProvider.System);
}
