using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Joins a hub: makes the edge's key, makes sure that the hub is the one that issued the token, and only then shows it the
/// token's secret.
/// </summary>
public static class HubEnroller
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(15);

    /// <summary>Redeems a token and keeps the identity in the data directory; durable on return.</summary>
    /// <param name="dataDirectory">The edge's.</param>
    /// <param name="hub">The hub's address, or several of them separated by commas, which are tried in order.</param>
    /// <param name="tokenText">What its operator gave.</param>
    /// <param name="card">What joins.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="EdgeStreamException">The token is no good, or for another hub, or the hub cannot be reached.</exception>
    public static async Task<EdgeIdentity> JoinAsync(
        string dataDirectory, string hub, string tokenText, JoiningCard card, CancellationToken cancellationToken)
    {
        InviteToken token = InviteToken.Parse(tokenText);
        IReadOnlyList<Uri> addresses = HubAddress.ParseAll(hub);
        var unavailable = new List<ClusterException>();
        foreach (Uri address in addresses)
        {
            try
            {
                using X509Certificate2 authority = await FetchAuthorityAsync(address, token, cancellationToken).ConfigureAwait(false);
                using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
                using X509Certificate2 certificate = await RedeemAsync(address, authority, token, key, card, cancellationToken).ConfigureAwait(false);
                string all = string.Join(',', addresses.Select(one => one.Authority));
                string id = EdgeIdentity.Save(dataDirectory, all, key, certificate, authority, card.Replaces);
                return EdgeIdentity.Load(dataDirectory, id)!;
            }
            catch (RpcException error)
            {
                ClusterException problem = Translate(error, address);
                if (problem.Code != ErrorCode.Unavailable)
                    throw problem;

                unavailable.Add(problem);
            }
        }

        throw unavailable is [var only]
            ? only
            : new ClusterException(ErrorCode.Unavailable, $"no address of the hub takes the token now: {string.Join("; ", unavailable.Select(problem => problem.Message))}");
    }

    private static async Task<X509Certificate2> FetchAuthorityAsync(Uri hub, InviteToken token, CancellationToken cancellationToken)
    {
        using GrpcChannel channel = HubChannel.OpenUnverified(hub);
        V1.Authority answer = await new V1.Enrolment.EnrolmentClient(channel)
            .GetAuthorityAsync(new V1.GetAuthorityRequest(), deadline: DateTime.UtcNow + CallTimeout, cancellationToken: cancellationToken)
            .ConfigureAwait(false);

        byte[] authority = answer.CertificateDer.ToByteArray();
        if (!CryptographicOperations.FixedTimeEquals(SHA256.HashData(authority), token.AuthorityFingerprint))
            throw new ClusterException(ErrorCode.Unauthenticated, $"the token is for another hub than {hub.Authority}; nothing was sent to it");

        return X509CertificateLoader.LoadCertificate(authority);
    }

    private static async Task<X509Certificate2> RedeemAsync(
        Uri hub, X509Certificate2 authority, InviteToken token, ECDsa key, JoiningCard card, CancellationToken cancellationToken)
    {
        var request = new CertificateRequest(
            CertificateRoles.Subject(token.GeoLocation, "geo-location"), key, HashAlgorithmName.SHA256);
        using GrpcChannel channel = HubChannel.Open(hub, authority);
        V1.JoinResponse answer = await new V1.Enrolment.EnrolmentClient(channel)
            .JoinAsync(
                new V1.JoinRequest
                {
                    Secret = ByteString.CopyFrom(token.Secret),
                    SigningRequestDer = ByteString.CopyFrom(request.CreateSigningRequest()),
                    Incarnations = { card.Incarnations },
                    Replace = card.Replaces,
                },
                deadline: DateTime.UtcNow + CallTimeout,
                cancellationToken: cancellationToken)
            .ConfigureAwait(false);

        X509Certificate2 certificate = X509CertificateLoader.LoadCertificate(answer.CertificateDer.Span);
        if (!certificate.PublicKey.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(key.ExportSubjectPublicKeyInfo()))
            throw new ClusterException(ErrorCode.Internal, "the hub has signed another key than this edge's; ask its operator");

        return certificate;
    }

    private static ClusterException Translate(RpcException error, Uri hub)
    {
        if (UplinkErrors.CodeOf(error) is { } code)
            return new ClusterException(code, error.Status.Detail);

        if (error.StatusCode == StatusCode.Unimplemented)
            return new ClusterException(ErrorCode.Unavailable, $"{hub.Authority} takes no tokens, as an SPU does not; join at an SC or a hub");

        return new ClusterException(
            ErrorCode.Unavailable,
            $"the hub {hub.Authority} cannot be reached ({UplinkErrors.Describe(error)}); check address, port and firewall");
    }
}
