using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Mirror.Bundles;
using EdgeStream.Storage.Records;
using EdgeStream.Testing;

namespace EdgeStream.Mirror.Tests.Bundles;

/// <summary>The file alone: what is written is read again, and what is not whole is refused.</summary>
public sealed class BundleFileTests : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _signer;

    public BundleFileTests() => _signer = new CertificateRequest("CN=north", _key, HashAlgorithmName.SHA256)
        .CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UtcNow.AddDays(1));

    public void Dispose()
    {
        _signer.Dispose();
        _key.Dispose();
    }

    [Fact]
    public async Task What_is_written_is_read()
    {
        byte[][] chunks = [[.. Batches.At(5, "a", "b"), .. Batches.At(7, "c")], Batches.At(8, new string('x', 2_000_000)), Batches.At(9, "d")];
        byte[] bundle = await SignedBundle.MakeAsync(_signer, SignedBundle.Header(5, 9), chunks);

        using var reader = new BundleReader(new MemoryStream(bundle));
        var read = new List<byte[]>();
        while (reader.ReadChunk() is { } chunk)
            read.Add(chunk.ToArray());

        Assert.Equal(chunks, read);
        Assert.Equal(SignedBundle.Header(5, 9), reader.Header);
        Assert.Equal(_signer.Thumbprint, reader.Signer!.Thumbprint);
    }

    [Fact]
    public async Task Bundle_that_ends_anywhere_is_refused()
    {
        byte[] bundle = await SmallAsync();
        for (int length = 0; length < bundle.Length; length++)
            Refuses(bundle[..length]);

        Refuses([.. bundle, 0]);
    }

    [Fact]
    public async Task Bundle_with_any_byte_changed_is_refused()
    {
        // The certificate is its own issuer here, so a change in it is for the hub to find.
        byte[] bundle = await SmallAsync();
        int certificate = bundle.AsSpan().IndexOf(_signer.RawData);
        for (int i = 0; i < bundle.Length; i++)
        {
            if (i >= certificate && i < certificate + _signer.RawData.Length)
                continue;

            foreach (byte change in (byte[])[1, 0x80, 0xFF])
            {
                byte[] changed = [.. bundle];
                changed[i] ^= change;
                Refuses(changed);
            }
        }
    }

    [Fact]
    public async Task Newer_version_says_so()
    {
        byte[] bundle = await SmallAsync();
        BinaryPrimitives.WriteUInt32BigEndian(bundle.AsSpan(8), 2);
        ClusterException refused = Refuses(bundle);
        Assert.Equal(ErrorCode.InvalidArgument, refused.Code);
        Assert.Contains("format version 2, this hub knows up to 1", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Length_beyond_its_limit_is_refused_before_room_is_made()
    {
        byte[] bundle = await SmallAsync();
        int headerLength = (int)BinaryPrimitives.ReadUInt32BigEndian(bundle.AsSpan(12));
        foreach ((int position, string what) in (ReadOnlySpan<(int, string)>)[(12, "the header"), (16 + headerLength, "a chunk")])
        {
            byte[] changed = [.. bundle];
            BinaryPrimitives.WriteUInt32BigEndian(changed.AsSpan(position), uint.MaxValue);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Assert.Contains($"{what} says to have 4294967295 bytes", Refuses(changed).Message, StringComparison.Ordinal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1_000_000);
        }
    }

    [Fact]
    public async Task Batches_that_do_not_fit_the_header_or_each_other_are_not_written()
    {
        await Assert.ThrowsAsync<CorruptBatchException>(() => SignedBundle.MakeAsync(_signer, SignedBundle.Header(0, 1), Batches.At(1, "b")));
        await Assert.ThrowsAsync<CorruptBatchException>(
            () => SignedBundle.MakeAsync(_signer, SignedBundle.Header(0, 2), Batches.At(0, "a"), Batches.At(2, "c")));
        await Assert.ThrowsAsync<InvalidOperationException>(() => SignedBundle.MakeAsync(_signer, SignedBundle.Header(0, 1), Batches.At(0, "a")));
        byte[] corrupt = Batches.At(0, "a");
        corrupt[^1] ^= 1;
        await Assert.ThrowsAsync<CorruptBatchException>(() => SignedBundle.MakeAsync(_signer, SignedBundle.Header(0, 0), corrupt));
    }

    private Task<byte[]> SmallAsync() => SignedBundle.MakeAsync(_signer, SignedBundle.Header(0, 2), Batches.At(0, "a", "b"), Batches.At(2, "c"));

    private static ClusterException Refuses(byte[] bundle) => Assert.Throws<ClusterException>(() =>
    {
        using var reader = new BundleReader(new MemoryStream(bundle));
        while (reader.ReadChunk() is not null)
        {
        }
    });
}
