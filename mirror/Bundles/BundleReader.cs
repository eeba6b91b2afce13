using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Cluster;
using EdgeStream.Storage.Records;
using Google.Protobuf;

namespace EdgeStream.Mirror.Bundles;

/// <summary>
/// Reads a bundle (<see cref="BundleFormat"/>) front to back, one chunk in memory at a time. Until <see cref="ReadChunk"/> has
/// returned null without an error, what it says is a claim. For one caller at a time.
/// </summary>
internal sealed class BundleReader : IDisposable
{
    private readonly Stream _stream;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private byte[] _chunk = [];
    private long _nextOffset;

    /// <param name="stream">The file; stays the caller's.</param>
    /// <exception cref="ClusterException">It is no bundle, or one of a newer version.</exception>
    public BundleReader(Stream stream)
    {
        _stream = stream;
        Header = ReadHeader();
        _nextOffset = Header.FirstOffset;
    }

    public V1.BundleHeader Header { get; }

    /// <summary>Who has signed, once the end was read. Whether to believe it is the caller's to say.</summary>
    public X509Certificate2? Signer { get; private set; }

    /// <summary>
    /// The next chunk, its batches verified; valid until the next call. Null at the end, where hash and signature were verified.
    /// </summary>
    /// <exception cref="ClusterException">Anything is not as it should be.</exception>
    public ReadOnlyMemory<byte>? ReadChunk()
    {
        int length = ReadLength("a chunk", BundleFormat.MaxChunkBytes);
        if (length == 0)
        {
            ReadEnd();
            return null;
        }

        if (_chunk.Length < length)
            _chunk = new byte[length];

        Memory<byte> chunk = _chunk.AsMemory(0, length);
        Read(chunk.Span);
        try
        {
            _nextOffset = BatchChecks.Verify(chunk, _nextOffset);
        }
        catch (CorruptBatchException damage)
        {
            throw BundleFormat.Damaged(damage.Message);
        }

        return chunk;
    }

    public void Dispose()
    {
        _hash.Dispose();
        Signer?.Dispose();
    }

    private V1.BundleHeader ReadHeader()
    {
        Span<byte> magic = stackalloc byte[BundleFormat.Magic.Length];
        if (_stream.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false) < magic.Length || !magic.SequenceEqual(BundleFormat.Magic))
            throw new ClusterException(ErrorCode.InvalidArgument, "the file is no bundle; 'edgestream log export' makes one");

        _hash.AppendData(magic);
        uint version = ReadNumber();
        if (version > BundleFormat.Version)
        {
            throw new ClusterException(
                ErrorCode.InvalidArgument,
                $"the bundle has format version {version}, this hub knows up to {BundleFormat.Version}; nothing was changed; update the hub");
        }

        if (version == 0)
            throw BundleFormat.Damaged("its format version is 0");

        byte[] bytes = new byte[ReadLength("the header", BundleFormat.MaxHeaderBytes)];
        Read(bytes);
        V1.BundleHeader header;
        try
        {
            header = V1.BundleHeader.Parser.ParseFrom(bytes);
        }
        catch (InvalidProtocolBufferException)
        {
            throw BundleFormat.Damaged("its header cannot be read");
        }

        return header is { FirstOffset: >= 0, LastOffset: < long.MaxValue } && header.LastOffset >= header.FirstOffset
            ? header
            : throw BundleFormat.Damaged($"its header names offsets {header.FirstOffset} to {header.LastOffset}");
    }

    private void ReadEnd()
    {
        if (_nextOffset != Header.LastOffset + 1)
            throw BundleFormat.Damaged($"its batches end before offset {_nextOffset}, its header says after {Header.LastOffset}");

        byte[] hash = _hash.GetHashAndReset();
        byte[] stated = new byte[hash.Length];
        Read(stated);
        if (!stated.AsSpan().SequenceEqual(hash))
            throw BundleFormat.Damaged("its SHA-256 is wrong");

        byte[] certificate = new byte[ReadLength("the certificate", BundleFormat.MaxCertificateBytes)];
        Read(certificate);
        byte[] signature = new byte[ReadLength("the signature", BundleFormat.MaxSignatureBytes)];
        Read(signature);
        if (_stream.ReadByte() >= 0)
            throw BundleFormat.Damaged("something follows its end");

        try
        {
            Signer = X509CertificateLoader.LoadCertificate(certificate);
            using ECDsa? key = Signer.GetECDsaPublicKey();
            if (Signer.RawDataMemory.Length != certificate.Length || key is null || !key.VerifyHash(hash, signature))
                throw BundleFormat.Damaged("its signature is not that of its certificate's key");
        }
        catch (CryptographicException)
        {
            throw BundleFormat.Damaged("its certificate cannot be read");
        }
    }

    private int ReadLength(string what, int limit)
    {
        uint length = ReadNumber();
        return length <= limit ? (int)length : throw BundleFormat.Damaged($"{what} says to have {length} bytes, of {limit} at most");
    }

    private uint ReadNumber()
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        Read(bytes);
        return BinaryPrimitives.ReadUInt32BigEndian(bytes);
    }

    private void Read(Span<byte> bytes)
    {
        int read = _stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        if (read < bytes.Length)
            throw BundleFormat.Damaged($"it was cut off: it ends after {_stream.Position} bytes, {bytes.Length - read} or more are missing");

        _hash.AppendData(bytes);
    }
}
