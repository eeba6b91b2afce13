using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Storage.Records;
using Google.Protobuf;

namespace EdgeStream.Mirror.Bundles;

/// <summary>Writes a bundle (<see cref="BundleFormat"/>) front to back; nothing is kept in memory. For one caller at a time.</summary>
internal sealed class BundleWriter : IDisposable
{
    private readonly V1.BundleHeader _header;
    private readonly byte[] _certificate;
    private readonly ECDsa _key;
    private readonly Func<ReadOnlyMemory<byte>, ValueTask> _write;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <param name="header">What it will hold.</param>
    /// <param name="signer">The edge's certificate, with its key; not needed any more once this returns.</param>
    /// <param name="write">Takes the file, piece by piece; a piece is valid until the call is over.</param>
    public BundleWriter(V1.BundleHeader header, X509Certificate2 signer, Func<ReadOnlyMemory<byte>, ValueTask> write)
    {
        _header = header;
        _certificate = signer.RawData;
        _key = signer.GetECDsaPrivateKey() ?? throw new ArgumentException("has no ECDSA key", nameof(signer));
        _write = write;
        NextOffset = header.FirstOffset;
    }

    /// <summary>The offset that the next batch must have.</summary>
    public long NextOffset { get; private set; }

    /// <summary>Writes what stands in front of the batches.</summary>
    public ValueTask WriteHeaderAsync()
    {
        byte[] header = _header.ToByteArray();
        if (header.Length > BundleFormat.MaxHeaderBytes)
            throw new ArgumentException($"the header has {header.Length} bytes, of {BundleFormat.MaxHeaderBytes} at most");

        byte[] front = [.. BundleFormat.Magic, .. Number(BundleFormat.Version), .. Number(header.Length), .. header];
        return WriteAsync(front);
    }

    /// <summary>Writes whole batches, which go on at <see cref="NextOffset"/>.</summary>
    /// <exception cref="CorruptBatchException">They do not, or a batch is not what its checksum says.</exception>
    public async ValueTask WriteBatchesAsync(ReadOnlyMemory<byte> batches)
    {
        NextOffset = BatchChecks.Verify(batches, NextOffset);
        await WriteAsync(Number(batches.Length)).ConfigureAwait(false);
        await WriteAsync(batches).ConfigureAwait(false);
    }

    /// <summary>Ends the bundle and signs it.</summary>
    /// <exception cref="InvalidOperationException">The batches do not end where the header says.</exception>
    public async ValueTask FinishAsync()
    {
        if (NextOffset != _header.LastOffset + 1)
            throw new InvalidOperationException($"the batches end before {NextOffset}, the header says after {_header.LastOffset}");

        await WriteAsync(Number(0)).ConfigureAwait(false);
        byte[] hash = _hash.GetHashAndReset();
        byte[] signature = _key.SignHash(hash);
        await _write((byte[])[.. hash, .. Number(_certificate.Length), .. _certificate, .. Number(signature.Length), .. signature])
            .ConfigureAwait(false);
    }

    public void Dispose()
    {
        _key.Dispose();
        _hash.Dispose();
    }

    private ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        _hash.AppendData(bytes.Span);
        return _write(bytes);
    }

    private static byte[] Number(long value)
    {
        byte[] bytes = new byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, checked((uint)value));
        return bytes;
    }
}
