using EdgeStream.Mirror.Enrolment;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Uplink;

/// <summary>The connection that a lane shares with the mirror's own stream.</summary>
/// <param name="Channel">Stays the uplink's.</param>
/// <param name="Identity">Who this edge is at the hub.</param>
/// <param name="Marks">How far the hub has this edge's logs.</param>
/// <param name="Share">What a lane may take of the link; whoever sends or receives data keeps to it.</param>
/// <param name="RenewElsewhere">
/// Has the certificate renewed where the one that serves this edge issues none, at most so long after the last time; when to ask again.
/// </param>
public sealed record UplinkConnection(
    GrpcChannel Channel, EdgeIdentity Identity, HubMarks Marks, LinkShare Share, Func<TimeSpan, CancellationToken, Task<TimeSpan>> RenewElsewhere);

/// <summary>
/// What goes over the uplink's one connection beside the mirror's stream, in calls of its own: so it needs no place in the
/// mirror's protocol, and its failure does not end the mirror.
/// </summary>
public interface IUplinkLane
{
    /// <summary>In a word or two, for the log.</summary>
    string Name { get; }

    /// <summary>
    /// Runs once the hub has welcomed this edge, until the connection ends (<paramref name="cancellationToken"/>). When it fails
    /// it is run again after a pause; when it returns it is not, on this connection.
    /// </summary>
    Task RunAsync(UplinkConnection connection, CancellationToken cancellationToken);
}
