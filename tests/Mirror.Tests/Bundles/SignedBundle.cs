using System.Security.Cryptography.X509Certificates;
using EdgeStream.Mirror.Bundles;

namespace EdgeStream.Mirror.Tests.Bundles;

/// <summary>Bundles that no edge would make, with a signature that is right.</summary>
internal static class SignedBundle
{
    public static readonly Guid Incarnation = Guid.NewGuid();

    public static V1.BundleHeader Header(long first, long last, string geo = "north", string topic = "t", Guid? incarnation = null) => new()
    {
        GeoLocation = geo,
        Topic = topic,
        Incarnation = (incarnation ?? Incarnation).ToString("N"),
        FirstOffset = first,
        LastOffset = last,
    };

    public static async Task<byte[]> MakeAsync(X509Certificate2 signer, V1.BundleHeader header, params byte[][] chunks)
    {
        var file = new MemoryStream();
        using var writer = new BundleWriter(header, signer, bytes => file.WriteAsync(bytes));
        await writer.WriteHeaderAsync();
        foreach (byte[] chunk in chunks)
            await writer.WriteBatchesAsync(chunk);

        await writer.FinishAsync();
        return file.ToArray();
    }
}
