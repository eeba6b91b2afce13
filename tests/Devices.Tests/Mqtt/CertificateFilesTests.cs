using System.Net;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Harness;

namespace EdgeStream.Devices.Tests.Mqtt;

/// <summary>What is found of certificate files before anybody connects.</summary>
public sealed class CertificateFilesTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestAuthority _authority;
    private readonly DateTimeOffset _now = DateTimeOffset.UtcNow;

    public CertificateFilesTests() => _authority = new TestAuthority(_directory.Path);

    public void Dispose()
    {
        _authority.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Good_files_are_no_problem()
    {
        (string cert, string key) = _authority.Issue("good");
        Assert.Empty(CertificateFiles.FindProblems(Client(_authority.File, cert, key), _now));
        Assert.Empty(CertificateFiles.FindProblems(Broker(_authority.File, cert, key), _now));
        Assert.Empty(CertificateFiles.FindProblems(Client(null, null, null), _now));
    }

    [Fact]
    public void Each_file_that_is_missing_is_told_under_its_setting()
    {
        (string cert, string key) = _authority.Issue("good");
        Assert.Equal(
            ["ca-file '/no/ca' does not exist; put it there, or correct the setting", "cert-file '/no/cert' does not exist; put it there, or correct the setting"],
            CertificateFiles.FindProblems(Client("/no/ca", "/no/cert", key), _now));
        Assert.Equal(
            ["client-ca-file '/no/ca' does not exist; put it there, or correct the setting", "key-file '/no/key' does not exist; put it there, or correct the setting"],
            CertificateFiles.FindProblems(Broker("/no/ca", cert, "/no/key"), _now));
    }

    [Fact]
    public void Files_that_are_something_else_are_told()
    {
        string text = _directory.At("text");
        File.WriteAllText(text, "hello");
        (string cert, _) = _authority.Issue("good");
        (_, string otherKey) = _authority.Issue("other");
        Assert.Equal([$"cert-file '{text}' cannot be used: it has no certificate in it"], CertificateFiles.FindProblems(Client(null, text, otherKey), _now));
        Assert.StartsWith($"key-file '{otherKey}' cannot be used: ", Assert.Single(CertificateFiles.FindProblems(Client(null, cert, otherKey), _now)), StringComparison.Ordinal);
        Assert.StartsWith($"key-file '{text}' cannot be used: ", Assert.Single(CertificateFiles.FindProblems(Client(null, cert, text), _now)), StringComparison.Ordinal);
    }

    [Fact]
    public void Certificates_that_do_not_count_today_are_told_with_the_day()
    {
        (string old, string oldKey) = _authority.Issue("old", age: TimeSpan.FromDays(10));
        (string early, string earlyKey) = _authority.Issue("early", age: TimeSpan.FromDays(-10));
        Assert.Equal(
            [$"cert-file '{old}' expired on {_now.AddDays(-8):yyyy-MM-dd}; put a renewed one in its place"], CertificateFiles.FindProblems(Client(null, old, oldKey), _now));
        Assert.Equal(
            [$"cert-file '{early}' is valid from {_now.AddDays(10):yyyy-MM-dd} on, and this device's clock says {_now:yyyy-MM-dd}; set the clock ('timedatectl')"],
            CertificateFiles.FindProblems(Broker(null, early, earlyKey), _now));
        Assert.Equal(
            [$"ca-file '{_authority.File}' expired on {_now.AddYears(3):yyyy-MM-dd}; put a renewed one in its place"],
            CertificateFiles.FindProblems(Client(_authority.File, null, null), _now.AddYears(4)));
    }

    [Fact]
    public void Bundle_with_one_authority_that_counts_is_good()
    {
        (string old, _) = _authority.Issue("old", age: TimeSpan.FromDays(10));
        string bundle = _directory.At("bundle.pem");
        File.WriteAllText(bundle, File.ReadAllText(old) + "\n" + File.ReadAllText(_authority.File));
        Assert.Empty(CertificateFiles.FindProblems(Client(bundle, null, null), _now));
    }

    private static MqttSourceOptions Client(string? authorities, string? cert, string? key) => new()
    {
        Broker = new Uri("mqtts://localhost"),
        ClientId = "c",
        Rules = [new MqttTopicRule("a", "t")],
        CaFile = authorities,
        CertFile = cert,
        KeyFile = key,
    };

    private static EmbeddedBrokerOptions Broker(string? authorities, string cert, string key) => new()
    {
        Listen = null,
        TlsListen = new IPEndPoint(IPAddress.Loopback, 8883),
        Rules = [new MqttTopicRule("a", "t")],
        ClientCaFile = authorities,
        CertFile = cert,
        KeyFile = key,
    };
}
