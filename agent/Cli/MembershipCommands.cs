using System.CommandLine;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary><c>join</c> and <c>leave</c>, at an edge.</summary>
internal static class MembershipCommands
{
    public static Command Join()
    {
        var hub = new Argument<string>("hub") { Description = "The hub's address, host or host:port; of a cluster several SCs, separated by commas" };
        var token = new Option<string>("--token") { Description = "What 'edgestream geo invite' printed at the hub", Required = true };
        var replace = new Option<bool>("--replace")
        {
            Description = "This card takes the place of another one: a new card, or one restored from an image; records go on behind what the hub has",
        };
        var command = new CliCommand(
            "join",
            "Join a hub as one of its geo-locations; one more where the edge has joined others",
            "edgestream join hub.example.com --token es1_…")
        {
            Arguments = { hub },
            Options = { token, replace },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.OpenLocal(result);
            JoinHubResponse joined = await client.CallAsync(c => c.Agent.JoinHubAsync(new JoinHubRequest
            {
                Hub = result.GetValue(hub),
                Token = result.GetValue(token),
                Replace = result.GetValue(replace),
            }));
            result.InvocationConfiguration.Output.WriteLine(
                $"joined {result.GetValue(hub)} as geo-location '{joined.GeoLocation}'; mirror topics are copied from now on");
        });
        return command;
    }

    public static Command Leave()
    {
        var hub = new Argument<string>("hub")
        {
            Description = "Which one, where the edge has joined several",
            Arity = ArgumentArity.ZeroOrOne,
            DefaultValueFactory = _ => "",
        };
        var command = new CliCommand("leave", "Stop mirroring to a hub and forget it; records stay", "edgestream leave hub.example.com")
        {
            Arguments = { hub },
        };
        command.Does(async (result, _) =>
        {
            using var client = ConnectionOptions.OpenLocal(result);
            LeaveHubResponse left = await client.CallAsync(c => c.Agent.LeaveHubAsync(new LeaveHubRequest { Hub = result.GetValue(hub) }));
            result.InvocationConfiguration.Output.WriteLine(left.Remaining.Count == 0
                ? $"left {left.Hub}; nothing is mirrored any more"
                : $"left {left.Hub}; what is left to mirror to is {string.Join(", ", left.Remaining)}");
        });
        return command;
    }
}
