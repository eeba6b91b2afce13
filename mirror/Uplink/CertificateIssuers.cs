using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;
using Grpc.Core;

namespace EdgeStream.Mirror.Uplink;

/// <summary>
/// Has the certificate renewed where the one that serves this edge issues none: at an SC, over a connection of its own that ends with the
/// answer. Such a connection costs some kilobytes, so it is made when it is due, not whenever the uplink connects. For one caller at a time.
/// </summary>
internal sealed class CertificateIssuers(HubLocator locator, EdgeIdentity identity, TimeProvider time)
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromHours(1);

    private TimeSpan _retry = FirstRetry;
    private TimeSpan _pause;
    private long _askedAt;

    /// <summary>As <see cref="CertificateRenewal.AskAsync"/>, at whichever address serves it; asks nobody while that is not due.</summary>
    /// <param name="except">An address that does not serve it.</param>
    /// <param name="longest">The most that lies between two questions.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="RpcException">None of those that are known serves it, or it refuses, or cannot be reached.</exception>
    public async Task<TimeSpan> AskAsync(Uri except, TimeSpan longest, CancellationToken cancellationToken)
    {
        TimeSpan left = (_pause < longest ? _pause : longest) - time.GetElapsedTime(_askedAt);
        if (_pause > TimeSpan.Zero && left > TimeSpan.Zero)
            return left;

        _askedAt = time.GetTimestamp();
        try
        {
            _pause = await locator.AskAnyAsync(
                channel => CertificateRenewal.AskAsync(channel, identity, time, cancellationToken), except, cancellationToken).ConfigureAwait(false);
            _retry = FirstRetry;
            return _pause;
        }
        catch (Exception error) when (error is RpcException or EdgeStreamException or TimeoutException or IOException)
        {
            _pause = _retry;
            _retry = _retry * 2 < LongestRetry ? _retry * 2 : LongestRetry;
            throw;
        }
    }
}
