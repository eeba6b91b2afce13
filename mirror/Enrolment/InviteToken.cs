using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using EdgeStream.Cluster;
using EdgeStream.Cluster.Topology;
using EdgeStream.Storage.Records;

namespace EdgeStream.Mirror.Enrolment;

/// <summary>
/// What an operator carries from the hub to an edge: who the hub is (its CA's fingerprint) and a secret that works once. As
/// text: <c>es1_</c> and base64url of fingerprint (32 bytes), secret (20 bytes), name (UTF-8) and a CRC-32C of those, so that
/// a token that was not copied whole is told from one that is refused.
/// </summary>
/// <param name="AuthorityFingerprint">SHA-256 of the CA certificate.</param>
/// <param name="Secret">Random bytes; the hub keeps only their hash.</param>
/// <param name="GeoLocation">Whom it lets in.</param>
public sealed record InviteToken(byte[] AuthorityFingerprint, byte[] Secret, string GeoLocation)
{
    public const int SecretSize = 20;

    private const string Prefix = "es1_";
    private const int FingerprintSize = SHA256.HashSizeInBytes;
    private const int CrcSize = sizeof(uint);

    /// <summary>How the hub remembers a secret that it must not be able to give away.</summary>
    public static string HashOf(ReadOnlySpan<byte> secret) => Convert.ToHexStringLower(SHA256.HashData(secret));

    public string Format()
    {
        byte[] body = [.. AuthorityFingerprint, .. Secret, .. Encoding.UTF8.GetBytes(GeoLocation), .. stackalloc byte[CrcSize]];
        BinaryPrimitives.WriteUInt32BigEndian(body.AsSpan(^CrcSize..), Crc32C.Compute(body.AsSpan(..^CrcSize)));
        return Prefix + Base64Url.EncodeToString(body);
    }

    /// <exception cref="ClusterException">The text is not a whole token.</exception>
    /// <exception cref="InvalidNameException">It is one, for a name that no hub gives.</exception>
    public static InviteToken Parse(string text)
    {
        text = text.Trim();
        if (!text.StartsWith(Prefix, StringComparison.Ordinal))
            throw NotAToken($"it does not begin with '{Prefix}'");

        byte[] body;
        try
        {
            body = Base64Url.DecodeFromChars(text.AsSpan(Prefix.Length));
        }
        catch (FormatException)
        {
            throw NotAToken("it is not complete");
        }

        const int NameStart = FingerprintSize + SecretSize;
        if (body.Length <= NameStart + CrcSize
            || BinaryPrimitives.ReadUInt32BigEndian(body.AsSpan(^CrcSize..)) != Crc32C.Compute(body.AsSpan(..^CrcSize)))
        {
            throw NotAToken("it is not complete");
        }

        // A checksum is no signature: whoever made the token chose the name.
        string geoLocation = Names.CheckGeoLocation(Encoding.UTF8.GetString(body[NameStart..^CrcSize]));
        return new InviteToken(body[..FingerprintSize], body[FingerprintSize..NameStart], geoLocation);
    }

    private static ClusterException NotAToken(string problem) =>
        new(ErrorCode.InvalidArgument, $"this is no invite token: {problem}; copy the whole line that 'edgestream geo invite' printed");
}
