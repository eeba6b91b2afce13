using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Grpc;
using EdgeStream.Mirror.Enrolment;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Mirror.Hub;

/// <summary>How edges join, as the hub serves it.</summary>
public sealed class EnrolmentService(CertificateAuthority authority, HubAuthority hub, ILogger<EnrolmentService> logger)
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

        using X509Certificate2 certificate = await hub.RedeemAsync(request.Secret.Memory, key).ConfigureAwait(false);
        string name = CertificateRoles.Read(certificate).Name;
        logger.LogInformation("geo-location {Name} has joined", name);
        return new V1.JoinResponse { GeoLocation = name, CertificateDer = ByteString.CopyFrom(certificate.RawDataMemory.Span) };
    }
}
