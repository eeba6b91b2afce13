using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Topology;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>geo invite | list | show | revoke</c>, at a hub.</summary>
internal static class GeoCommands
{
    public static Command Geo()
    {
        var geo = new Command("geo", "Geo-locations: the edges that mirror to this hub");
        geo.Subcommands.Add(Invite());
        geo.Subcommands.Add(List());
        geo.Subcommands.Add(Show());
        geo.Subcommands.Add(Revoke());
        return geo;
    }

    public static string StateOf(GeoLocation geo) => geo.State switch
    {
        GeoLocationState.Invited => "invited",
        GeoLocationState.Offline => "offline",
        GeoLocationState.Online => "online",
        GeoLocationState.Revoked => "revoked",
        _ => "unknown",
    };

    public static DateTimeOffset? TimeOf(long milliseconds) =>
        milliseconds > 0 ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds) : null;

    private static CliCommand Invite()
    {
        var name = new Argument<string>("name") { Description = "What the edge will be called" };
        var validFor = new Option<string>("--valid-for") { Description = "How long the token can be used", DefaultValueFactory = _ => "1d" };
        var command = new CliCommand("invite", "Make a one-time token with which an edge joins", "edgestream geo invite berlin-7")
        {
            Arguments = { name },
            Options = { validFor },
        };
        command.Does(async (result, _) =>
        {
            string validity = result.GetValue(validFor)!;
            if (!Quantities.TryParseTime(validity, out TimeSpan time))
                throw new CommandException($"'{validity}' is no time; write for instance 30m, 12h or 7d");

            using var client = ConnectionOptions.Open(result);
            Invite invite = await client.CallAsync(c => c.ControlPlane.InviteGeoLocationAsync(new InviteGeoLocationRequest
            {
                Name = result.GetValue(name),
                ValidSeconds = Math.Max(1, (long)time.TotalSeconds),
            }));

            // The token alone on standard output, so that it can be piped.
            result.InvocationConfiguration.Output.WriteLine(invite.Token);
            result.InvocationConfiguration.Error.WriteLine(
                $"Works once, until {TimeOf(invite.ExpiresAt):u}. On the edge: edgestream join HUB --token TOKEN");
        });
        return command;
    }

    private static CliCommand List()
    {
        var command = new CliCommand("list", "List geo-locations", "edgestream geo list") { Options = { TableOutput.Format } };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.GetTopologyAsync();
            TableOutput table = GeoLinks.Table(topology.GeoLocations, await client.ListPartitionsAsync());
            table.Write(result, "There are no geo-locations yet; 'edgestream geo invite NAME' lets one in.");
        });
        return command;
    }

    private static CliCommand Show()
    {
        var name = new Argument<string>("name");
        var command = new CliCommand("show", "Show all about one geo-location", "edgestream geo show berlin-7")
        {
            Arguments = { name },
            Options = { TableOutput.Format },
        };
        command.Does(async (result, _) =>
        {
            string wanted = Names.CheckGeoLocation(result.GetValue(name));
            using var client = ConnectionOptions.Open(result);
            Topology topology = await client.GetTopologyAsync();
            GeoLocation geo = topology.GeoLocations.FirstOrDefault(geo => geo.Name == wanted)
                ?? throw ClusterException.GeoLocationNotFound(wanted);
            IReadOnlyList<PartitionStatus> partitions = await client.ListPartitionsAsync();
            GeoLocationDetails.Write(result, geo, [.. partitions.Where(status => status.Partition.GeoLocation == wanted)]);
        });
        return command;
    }

    private static CliCommand Revoke()
    {
        var name = new Argument<string>("name");
        var command = new CliCommand("revoke", "End a geo-location's right to mirror; its records stay", "edgestream geo revoke berlin-7")
        {
            Arguments = { name },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.Open(result);
            await client.CallAsync(c => c.ControlPlane.RevokeGeoLocationAsync(new RevokeGeoLocationRequest { Name = result.GetValue(name) }));
            result.InvocationConfiguration.Output.WriteLine(
                $"geo-location '{result.GetValue(name)}' is revoked; 'edgestream geo invite {result.GetValue(name)}' lets it in again");
        });
        return command;
    }
}
