using System.Security.Cryptography.X509Certificates;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Uplink;

/// <summary>Asks the hub for a newer certificate. When it is due is the hub's to say: the edge's clock need not be right.</summary>
internal static class CertificateRenewal
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(15);

    /// <summary>Asks once, and takes what comes into use; durable on return.</summary>
    /// <param name="channel">A connection made with a certificate of the identity's key, expired or not.</param>
    /// <param name="identity">Gets the new certificate.</param>
    /// <param name="time">Measures how long an answer may take.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>When the hub wants to be asked again, from now.</returns>
    /// <exception cref="RpcException">The hub cannot be reached, or refuses: revoked, or joined again with another key.</exception>
    /// <exception cref="TimeoutException">The hub does not answer.</exception>
    /// <exception cref="EdgeStreamException">What it has issued is for somebody else.</exception>
    public static async Task<TimeSpan> AskAsync(
        GrpcChannel channel, EdgeIdentity identity, TimeProvider time, CancellationToken cancellationToken)
    {
        // Not a deadline, which is a time of day: the clock may be set meanwhile.
        using var timeout = new CancellationTokenSource(CallTimeout, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        var request = new V1.RenewRequest { HeldUntil = new DateTimeOffset(identity.Certificate.NotAfter).ToUnixTimeMilliseconds() };
        V1.RenewResponse answer;
        try
        {
            answer = await new V1.Enrolment.EnrolmentClient(channel)
                .RenewAsync(request, cancellationToken: stop.Token)
                .ConfigureAwait(false);
        }
        catch (RpcException) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"the hub {identity.Hub} has not answered for {CallTimeout.TotalSeconds:0} s");
        }

        if (!answer.CertificateDer.IsEmpty)
        {
            using X509Certificate2 issued = X509CertificateLoader.LoadCertificate(answer.CertificateDer.Span);
            identity.Renew(issued);
        }

        return TimeSpan.FromSeconds(Math.Clamp(answer.AskAgainSeconds, 0, int.MaxValue));
    }
}
