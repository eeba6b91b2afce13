namespace EdgeStream.Testing.Simulated;

/// <summary>The bytes of one file. Copies are made when one of those that share them is written to. Not thread-safe.</summary>
internal sealed class FileContent
{
    private byte[] _bytes;
    private bool _shared;

    public FileContent()
        : this([], 0)
    {
    }

    public FileContent(byte[] bytes, int length) => (_bytes, Length) = (bytes, length);

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, Length);

    /// <summary>The same bytes for somebody else; neither sees what the other changes from now on.</summary>
    public FileContent Share()
    {
        _shared = true;
        return new FileContent(_bytes, Length) { _shared = true };
    }

    public int Read(Span<byte> buffer, long position)
    {
        if (position >= Length)
            return 0;

        ReadOnlySpan<byte> rest = Bytes[(int)position..];
        rest = rest[..Math.Min(rest.Length, buffer.Length)];
        rest.CopyTo(buffer);
        return rest.Length;
    }

    /// <summary>Does what a write, a truncation or an allocation does to the bytes.</summary>
    public void Apply(DiskOperation operation)
    {
        int position = (int)operation.Position;
        switch (operation.Kind)
        {
            case OperationKind.Write:
                Own(Math.Max(Length, position + operation.Data.Length));
                operation.Data.CopyTo(_bytes, position);
                Length = Math.Max(Length, position + operation.Data.Length);
                break;
            case OperationKind.Truncate:
                Own(Math.Max(Length, position));
                if (position < Length)
                    _bytes.AsSpan(position, Length - position).Clear();

                Length = position;
                break;
            case OperationKind.Allocate:
                Own(Math.Max(Length, position));
                Length = Math.Max(Length, position);
                break;
            default:
                throw new ArgumentException($"{operation} does not change a file's bytes", nameof(operation));
        }
    }

    // What lies behind the length is always zero.
    private void Own(int capacity)
    {
        if (!_shared && capacity <= _bytes.Length)
            return;

        byte[] own = new byte[Math.Max(capacity, _shared ? 0 : _bytes.Length * 2)];
        Bytes.CopyTo(own);
        (_bytes, _shared) = (own, false);
    }
}
