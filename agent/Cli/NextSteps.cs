using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Cli;

/// <summary>What somebody who looks at a node's status would do next. Nothing, once it does what it is for.</summary>
internal static class NextSteps
{
    public static IEnumerable<string> For(NodeStatus status)
    {
        if (status.Problems.Count > 0)
            yield return "'edgestream check' looks for causes on this machine; 'edgestream diag' gathers what somebody needs who helps";

        if (status.Role != "edge")
        {
            if (OfDataCenter(status) is { } next)
                yield return next;

            yield break;
        }

        if (status.Sources.Count == 0)
            yield return "nothing comes in but what programs produce: add a source to the configuration, then 'edgestream check'";
        else if (status.Sources.All(source => source.Received == 0))
            yield return "no source has received anything yet: is something sent, and do topic filters or line numbers match?";

        if (status.Uplinks.Count == 0)
            yield return "have the records copied to a hub: 'edgestream geo invite NAME' there, 'edgestream join HUB --token TOKEN' here";
    }

    private static string? OfDataCenter(NodeStatus status) => status switch
    {
        { Role: "spu" } or { Role: "sc", ScActive: false } => null,
        { Role: "sc", SpusOnline: 0 } => "start SPUs: 'edgestream spu certificate ID --data DIR --out DIR' makes an identity here, 'edgestream spu --config FILE --identity DIR' takes it there",
        { GeoLocations.Count: 0 } => "let an edge in: 'edgestream geo invite NAME' makes a token for it",
        _ => null,
    };
}
