using System.CommandLine;
using System.Security.Cryptography;
using EdgeStream.Agent.Cli;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Tests.Cli;

/// <summary>What a command line says of how a cluster is reached, and gets wrong.</summary>
public sealed class ConnectionOptionsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestAuthority _authority;
    private readonly string _certificate;
    private readonly string _key;

    public ConnectionOptionsTests()
    {
        _authority = new TestAuthority(_directory.Path);
        (_certificate, _key) = _authority.Issue("me");
    }

    public void Dispose()
    {
        _authority.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void Certificate_with_its_key_is_taken_from_two_files_or_one()
    {
        string both = Write("both.pem", File.ReadAllText(_certificate) + "\n" + File.ReadAllText(_key));

        Assert.True(Read([], "--cert", _certificate, "--key-file", _key, "--ca", _authority.File).Certificate!.HasPrivateKey);
        Assert.True(Read([], "--cert", both, "--ca", _authority.File).Certificate!.HasPrivateKey);
    }

    [Fact]
    public void Key_of_another_certificate_is_told()
    {
        (_, string other) = _authority.Issue("other");
        using var rsa = RSA.Create(2048);

        foreach (string key in (string[])[other, Write("rsa.key", rsa.ExportPkcs8PrivateKeyPem()), Write("empty.key", ""), _certificate])
            AssertRefused($"--key-file '{key}' has not the key of the certificate '{_certificate}'", "--cert", _certificate, "--key-file", key);
    }

    [Fact]
    public void What_is_missing_is_told_with_its_option()
    {
        AssertRefused($"--cert '{_certificate}' has no key in it; name the file that has it with --key-file", "--cert", _certificate);
        AssertRefused($"--key-file '{_key}' goes with a certificate; name it with --cert", "--key-file", _key);
        AssertRefused("--cert '/no/me.crt' does not exist", "--cert", "/no/me.crt", "--key-file", _key);
        AssertRefused("--key-file '/no/me.key' does not exist", "--cert", _certificate, "--key-file", "/no/me.key");
        AssertRefused("--ca '/no/ca.crt' does not exist", "--ca", "/no/ca.crt");
        AssertRefused($"--ca '{_directory.Path}' ", "--ca", _directory.Path);
    }

    [Fact]
    public void What_is_no_certificate_is_told_with_its_option()
    {
        string text = Write("text", "hello");

        AssertRefused($"--ca '{text}' is no certificate (PEM)", "--ca", text);
        AssertRefused($"--ca '{_key}' is no certificate (PEM)", "--ca", _key);
        AssertRefused($"--cert '{text}' is no certificate (PEM)", "--cert", text, "--key-file", _key);
    }

    [Fact]
    public void Address_without_a_scheme_is_https()
    {
        Assert.Equal(
            ["https://sc1:9443", "https://10.0.0.2:9444", "https://sc3:9443", "https://[::1]:9443", "https://sc5:1", "unix:/a/socket"],
            Read([], "--connect", "sc1:9443,10.0.0.2:9444,sc3,[::1]:9443,https://sc5:1", "--connect", "unix:/a/socket").Endpoints);
        AssertRefused("'sc1:9443/x' is no hub address; write host or host:port", "--connect", "sc1:9443/x");
    }

    [Fact]
    public void Environment_names_what_the_command_line_does_not()
    {
        (string other, string othersKey) = _authority.Issue("other");
        var environment = new Dictionary<string, string?>
        {
            ["EDGESTREAM_CONNECT"] = "https://sc1:9443, https://sc2:9443",
            ["EDGESTREAM_CERT"] = _certificate,
            ["EDGESTREAM_KEY"] = _key,
            ["EDGESTREAM_CA"] = _authority.File,
        };

        ClientOptions options = Read(environment);
        Assert.Equal(["https://sc1:9443", "https://sc2:9443"], options.Endpoints);
        Assert.Equal("CN=me", options.Certificate!.Subject);
        Assert.Equal("CN=ca", options.Authority!.Subject);

        Assert.Equal("CN=other", Read(environment, "--cert", other, "--key-file", othersKey).Certificate!.Subject);
        Assert.Equal(["https://sc3:9443"], Read(environment, "--connect", "https://sc3:9443").Endpoints);
        Assert.Equal(["unix:/a/socket"], Read(environment, "--socket", "/a/socket").Endpoints);
        Assert.Equal(["https://sc3:9443"], Read(environment, "--socket", "/a/socket", "--connect", "https://sc3:9443").Endpoints);

        // Set to nothing is not set.
        Assert.Null(Read(new() { ["EDGESTREAM_CERT"] = "", ["EDGESTREAM_KEY"] = "", ["EDGESTREAM_CA"] = "" }, "--socket", "/a/socket").Certificate);
        environment["EDGESTREAM_CERT"] = "/no/me.crt";
        Assert.StartsWith("$EDGESTREAM_CERT '/no/me.crt' does not exist", Assert.ThrowsAny<EdgeStreamException>(() => Read(environment)).Message, StringComparison.Ordinal);
    }

    private static void AssertRefused(string expected, params string[] arguments) =>
        Assert.StartsWith(expected, Assert.ThrowsAny<EdgeStreamException>(() => Read([], arguments)).Message, StringComparison.Ordinal);

    private static ClientOptions Read(Dictionary<string, string?> environment, params string[] arguments)
    {
        var command = new RootCommand();
        foreach (Option option in ConnectionOptions.All)
            command.Options.Add(option);

        return ConnectionOptions.Read(command.Parse(arguments), environment.GetValueOrDefault);
    }

    private string Write(string name, string content)
    {
        File.WriteAllText(_directory.At(name), content);
        return _directory.At(name);
    }
}
