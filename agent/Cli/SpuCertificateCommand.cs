using System.CommandLine;
using EdgeStream.Agent.Hosting;
using EdgeStream.Mirror.Enrolment;

namespace EdgeStream.Agent.Cli;

/// <summary><c>spu certificate</c>: makes the identity of an SPU, at the machine that has the CA; needs no running node.</summary>
internal static class SpuCertificateCommand
{
    private static readonly Argument<int> Id = new Argument<int>("id") { Description = "The SPU's number in the cluster" }.AtLeast(0);

    private static readonly Option<string[]> Hosts = new("--host")
    {
        Description = "A host name or address under which the SPU is reached, for programs that compare it; may be given several times",
        HelpName = "name",
        DefaultValueFactory = _ => [],
    };

    private static readonly Option<string> Out = new("--out") { Description = "Where the three files go", Required = true, HelpName = "dir" };

    public static Command Create()
    {
        var command = new CliCommand(
            "certificate",
            "Make the certificate of an SPU where the CA is; to be carried to the SPU's machine",
            "edgestream spu certificate 2 --data /var/lib/edgestream --host spu2.example --out ./spu-2")
        {
            Arguments = { Id },
            Options = { LocalPartitions.Data, Hosts, Out },
        };
        command.Does((result, _) =>
        {
            int id = result.GetValue(Id);
            string data = NodePaths.Data(result.GetValue(LocalPartitions.Data)), directory = Path.GetFullPath(result.GetValue(Out)!);
            if (!CertificateAuthority.Exists(data))
            {
                throw new CommandException(
                    $"there is no CA in '{Path.Combine(data, "ca")}'; name the data directory of an SC with --data: the SC makes its CA at its first start");
            }

            using CertificateAuthority authority = CertificateAuthority.Open(data, TimeProvider.System);
            DateTimeOffset until = SpuIdentity.Create(directory, authority, id, ["localhost", .. result.GetValue(Hosts)!]);
            TextWriter output = result.InvocationConfiguration.Output;
            output.WriteLine($"spu.crt, spu.key and ca.crt of SPU {id} written to {directory}, good until {until:yyyy-MM-dd}");
            output.WriteLine(
                "copy the directory to the SPU's machine, for its user only, and start it there with: edgestream spu --config FILE --identity DIR, "
                + "or name it in its spu.toml as cluster.identity");
            return Task.CompletedTask;
        });
        return command;
    }
}
