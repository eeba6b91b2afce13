using System.CommandLine;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>cert</c>, at a hub or an SC: certificates for programs that use the network API.</summary>
internal static class CertificateCommands
{
    public static Command Certificate()
    {
        var name = new Argument<string>("name") { Description = "Whom it is for" };
        var role = new Option<string>("--role") { Description = "What it may do", Required = true };
        role.AcceptOnlyFromAmong("admin", "producer", "consumer");
        var directory = new Option<string>("--out") { Description = "Where the three files go", DefaultValueFactory = _ => ".", HelpName = "dir" };
        var issue = new CliCommand(
            "issue",
            "Issue a client certificate for the network API",
            "edgestream cert issue grafana --role consumer --out ./grafana\n"
            + "edgestream topology --connect https://hub:9443 --cert grafana.crt --key-file grafana.key --ca hub-ca.crt")
        {
            Arguments = { name },
            Options = { role, directory },
        };
        issue.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            string path = result.GetValue(directory)!, owner = result.GetValue(name)!;
            IssuedCertificate issued = await client.CallAsync(c => c.ControlPlane.IssueCertificateAsync(new IssueCertificateRequest
            {
                Name = owner,
                Role = result.GetValue(role),
            }));
            Directory.CreateDirectory(path);
            string keyPath = Path.Combine(path, $"{owner}.key");
            await using (var key = new StreamWriter(keyPath, new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }))
            {
                await key.WriteLineAsync(issued.KeyPem);
            }

            await File.WriteAllTextAsync(Path.Combine(path, $"{owner}.crt"), issued.CertificatePem + "\n", CancellationToken.None);
            await File.WriteAllTextAsync(Path.Combine(path, "hub-ca.crt"), issued.AuthorityPem + "\n", CancellationToken.None);
            result.InvocationConfiguration.Output.WriteLine($"{owner}.crt, {owner}.key and hub-ca.crt written to {Path.GetFullPath(path)}");
        });
        return new Command("cert", "Certificates for programs that use the network API") { Subcommands = { issue, Revoke(), Revoked() } };
    }

    private static CliCommand Revoke()
    {
        var name = new Argument<string>("name") { Description = "Whom it was issued for; of an SPU spu-ID" };
        var revoke = new CliCommand(
            "revoke",
            "Shut out all certificates of a name, at once and for ever; whoever is to come in again gets one under another name",
            "edgestream cert revoke grafana")
        {
            Arguments = { name },
        };
        revoke.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            string revoked = result.GetValue(name)!;
            await client.CallAsync(c => c.ControlPlane.RevokeCertificateAsync(new RevokeCertificateRequest { Name = revoked }));
            result.InvocationConfiguration.Output.WriteLine($"the certificates of '{revoked}' are refused from now on, those of any role");
            if (revoked.All(char.IsAsciiDigit))
                result.InvocationConfiguration.Error.WriteLine($"an SPU's name is spu-{revoked}: 'edgestream cert revoke spu-{revoked}' shuts that out");
        });
        return revoke;
    }

    private static CliCommand Revoked()
    {
        var revoked = new CliCommand("revoked", "List the names whose certificates are refused", "edgestream cert revoked") { Options = { TableOutput.Format } };
        revoked.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            var table = new TableOutput("name");
            foreach (string name in (await client.GetTopologyAsync()).RevokedNames)
                table.Add(name);

            table.Write(result, "No certificates are revoked; 'edgestream cert revoke NAME' does that.");
        });
        return revoked;
    }
}
