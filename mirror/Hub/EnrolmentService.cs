using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Mirror.Enrolment;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>How edges join and stay in, as the hub serves it.</summary>
public sealed class EnrolmentService(CertificateAuthority authority, Accessor<HubAuthority> hub, ILogger<EnrolmentService> logger)
    : V1.Enrolment.EnrolmentBase
{
    public override Task<V1.Authority> GetAuthority(V1.GetAuthorityRequest request, ServerCallContext context)
    {
        using X509Certificate2 certificate = authority.Certificate;
        return Task.FromResult(new V1.Authority { CertificateDer = ByteString.CopyFrom(certificate.RawDataMemory.Span) });
    }

    public override async Task<V1.JoinResponse> Join(V1.JoinRequest request, ServerCallContext context)
    {
        PublicKey key;
        try
        {
            // Checks the request's own signature: the caller holds the key. Name and extensions are ours to write.
            key = CertificateRequest.LoadSigningRequest(request.SigningRequestDer.ToByteArray(), HashAlgorithmName.SHA256).PublicKey;
        }
        catch (CryptographicException error)
        {
            throw new ClusterException(ErrorCode.InvalidArgument, $"the signing request cannot be read: {error.Message}");
        }

        using X509Certificate2 certificate = await hub.Value
            .RedeemAsync(request.Secret.Memory, key, new JoiningCard(request.Incarnations, request.Replace))
            .ConfigureAwait(false);
        string name = CertificateRoles.Read(certificate).Name;
        logger.LogInformation("geo-location {Name} has joined", name);
        return new V1.JoinResponse { GeoLocation = name, CertificateDer = ByteString.CopyFrom(certificate.RawDataMemory.Span) };
    }

    public override async Task<V1.RenewResponse> Renew(V1.RenewRequest request, ServerCallContext context)
    {
        X509Certificate2 presented = context.GetHttpContext().Connection.ClientCertificate
            ?? throw new ClusterException(ErrorCode.WrongRole, "a certificate is renewed over the connection that it was presented on");
        Renewal renewal = await hub.Value.RenewAsync(presented, HeldUntil(request)).ConfigureAwait(false);
        var answer = new V1.RenewResponse { AskAgainSeconds = (long)Math.Ceiling(renewal.AskAgain.TotalSeconds) };
        if (renewal.Certificate is { } certificate)
        {
            answer.CertificateDer = ByteString.CopyFrom(certificate.RawDataMemory.Span);
            logger.LogInformation(
                "the certificate of {Name} is renewed until {Until:u}",
                CertificateRoles.Read(certificate).Name,
                certificate.NotAfter.ToUniversalTime());
            certificate.Dispose();
        }

        return answer;
    }

    private static DateTimeOffset HeldUntil(V1.RenewRequest request) => DateTimeOffset.FromUnixTimeMilliseconds(
        Math.Clamp(request.HeldUntil, 0, DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()));
}
