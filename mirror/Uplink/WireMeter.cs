namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Counts what an uplink costs on the wire: all that goes through its TCP connections, TLS and protocols included, the headers
/// of TCP and IP not. Safe from any thread.
/// </summary>
/// <param name="total">Counts it as well; null where none does.</param>
public sealed class WireMeter(WireMeter? total = null)
{
    private long _sent;
    private long _received;

    /// <summary>Bytes since the start of the program.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    public long Received => Interlocked.Read(ref _received);

    /// <summary>A stream that counts what goes through another one, and owns it.</summary>
    internal Stream Meter(Stream stream) => new MeteredStream(stream, this);

    private void CountSent(int bytes)
    {
        Interlocked.Add(ref _sent, bytes);
        total?.CountSent(bytes);
    }

    private void CountReceived(int bytes)
    {
        Interlocked.Add(ref _received, bytes);
        total?.CountReceived(bytes);
    }

    private sealed class MeteredStream(Stream inner, WireMeter meter) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer) => CountReceived(inner.Read(buffer));

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            CountReceived(await inner.ReadAsync(buffer, cancellationToken).ConfigureAwait(false));

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            meter.CountSent(buffer.Length);
            inner.Write(buffer);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            meter.CountSent(buffer.Length);
            return inner.WriteAsync(buffer, cancellationToken);
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Flush() => inner.Flush();

        public override Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
                inner.Dispose();

            base.Dispose(disposing);
        }

        private int CountReceived(int count)
        {
            meter.CountReceived(count);
            return count;
        }
    }
}
