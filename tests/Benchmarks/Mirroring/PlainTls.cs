using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using EdgeStream.Harness;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage.Files;

namespace EdgeStream.Benchmarks.Mirroring;

/// <summary>The limit beside the mirror: bytes over TLS 1.3 on loopback and nothing else, from the connect to the last one read.</summary>
internal static class PlainTls
{
    private const int BufferBytes = 128 * 1024;
    private const int CommitBytes = 1024 * 1024;

    /// <param name="wireBytes">What is sent.</param>
    /// <param name="storedBytes">What the receiver writes and syncs meanwhile, in commits of 1 MiB; 0 for nothing.</param>
    public static async Task<TimeSpan> MeasureAsync(long wireBytes, long storedBytes = 0)
    {
        using var directory = new TemporaryDirectory();
        using CertificateAuthority authority = CertificateAuthority.Open(directory.At("authority"), TimeProvider.System);
        using X509Certificate2 certificate = authority.IssueServer(["localhost"], TimeSpan.FromDays(1));
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using ILogFile? file = storedBytes > 0 ? DiskFiles.Instance.Create(directory.At("copy")) : null;
        return await Report.TimeAsync(() => Task.WhenAll(
            Task.Run(() => ReceiveAsync(listener, certificate, wireBytes, file, storedBytes)),
            Task.Run(() => SendAsync(((IPEndPoint)listener.LocalEndpoint).Port, certificate, wireBytes))));
    }

    private static async Task SendAsync(int port, X509Certificate2 certificate, long bytes)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        await using var tls = new SslStream(new NetworkStream(socket), leaveInnerStreamOpen: false, (_, presented, _, _) => presented!.Equals(certificate));
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost", EnabledSslProtocols = SslProtocols.Tls13 });
        byte[] buffer = new byte[BufferBytes];
        new Random(17).NextBytes(buffer);
        for (long left = bytes; left > 0; left -= BufferBytes)
            await tls.WriteAsync(buffer.AsMemory(0, (int)Math.Min(left, BufferBytes)));

        // Until the other side has read all of it.
        if (await tls.ReadAsync(buffer) == 0)
            throw new IOException("the receiver is gone");
    }

    private static async Task ReceiveAsync(TcpListener listener, X509Certificate2 certificate, long bytes, ILogFile? file, long storedBytes)
    {
        using Socket socket = await listener.AcceptSocketAsync();
        await using var tls = new SslStream(new NetworkStream(socket));
        await tls.AuthenticateAsServerAsync(certificate, clientCertificateRequired: false, SslProtocols.Tls13, checkCertificateRevocation: false);
        byte[] buffer = new byte[BufferBytes];
        byte[] commit = new byte[CommitBytes];
        new Random(18).NextBytes(commit);
        long received = 0, stored = 0;
        while (received < bytes)
        {
            int count = await tls.ReadAsync(buffer);
            if (count == 0)
                throw new IOException("the sender is gone");

            received += count;
            while (file is not null && (stored + CommitBytes <= received * storedBytes / bytes || (received == bytes && stored < storedBytes)))
            {
                file.Write([commit], stored);
                file.SyncData();
                stored += CommitBytes;
            }
        }

        await tls.WriteAsync(new byte[1]);
    }
}
