using Grpc.Core;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Keeps the certificate new while the link is up: asks at each connection, and again when the hub says so or after
/// <paramref name="longest"/>. The mirror's stream stays as it is; the next connection is made with the new certificate.
/// </summary>
/// <param name="longest">The most that lies between two questions: the hub may have got another setting, or another clock.</param>
/// <param name="time">Measures it.</param>
public sealed class RenewalLane(TimeSpan longest, TimeProvider time) : IUplinkLane
{
    public static readonly TimeSpan DefaultLongest = TimeSpan.FromHours(6);

    // A hub that wants to be asked again at once does not keep the edge busy.
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(10);

    public string Name => "certificate renewal";

    public async Task RunAsync(UplinkConnection connection, CancellationToken cancellationToken)
    {
        while (true)
        {
            TimeSpan wanted = await AskAsync(connection, cancellationToken).ConfigureAwait(false);
            TimeSpan pause = TimeSpan.FromTicks(Math.Min(Math.Max(wanted.Ticks, Shortest.Ticks), longest.Ticks));
            await Task.Delay(pause, time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<TimeSpan> AskAsync(UplinkConnection connection, CancellationToken cancellationToken)
    {
        try
        {
            return await CertificateRenewal.AskAsync(connection.Channel, connection.Identity, time, cancellationToken).ConfigureAwait(false);
        }
        catch (RpcException unknown) when (unknown.StatusCode == StatusCode.Unimplemented)
        {
            return await connection.RenewElsewhere(longest, cancellationToken).ConfigureAwait(false);
        }
    }
}
