using System.Diagnostics;
using EdgeStream.Storage;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Metadata.JetStream;

/// <summary>The time for which an SC is the active one. Renews the lease by itself until it is disposed of. Safe from any thread.</summary>
public sealed class ScTerm : IAsyncDisposable
{
    private readonly ScLease _lease;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _lost = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _renewing;
    private long _revision;

    // By the stopwatch; ahead of the timer where the process was stopped.
    private long _until;

    internal ScTerm(ScLease lease, long revision, long began, ILogger logger)
    {
        (_lease, _revision, _logger) = (lease, revision, logger);
        Lost = _lost.Token;
        Extend(began);
        _renewing = Task.Run(RenewAsync);
    }

    /// <summary>Cancelled as soon as another SC may come to be the active one, and when this is disposed of. Stays so.</summary>
    public CancellationToken Lost { get; }

    /// <summary>Whether no other can be the active one now. Right also where the process was stopped, and nobody was told yet.</summary>
    public bool IsHeld => !_lost.IsCancellationRequested && Stopwatch.GetTimestamp() < Interlocked.Read(ref _until);

    /// <summary>Gives the lease back, so that another takes over at once. What was done under it must have ended.</summary>
    public async ValueTask DisposeAsync()
    {
        bool wasHeld = IsHeld;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _lost.CancelAsync().ConfigureAwait(false);
        await _renewing.ConfigureAwait(false);
        if (wasHeld)
            await _lease.ReleaseAsync(_revision).ConfigureAwait(false);

        _lost.Dispose();
        _stop.Dispose();
    }

    /// <param name="began">When the last renewal that was stored began to be sent.</param>
    private void Extend(long began)
    {
        TimeSpan valid = ScLease.Duration - ScLease.Margin;
        Interlocked.Exchange(ref _until, began + (long)(valid.TotalSeconds * Stopwatch.Frequency));
        TimeSpan left = valid - Stopwatch.GetElapsedTime(began);
        _lost.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    private async Task RenewAsync()
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token, _lost.Token);
        while (true)
        {
            await Task.Delay(ScLease.RenewInterval, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stop.IsCancellationRequested)
                return;

            try
            {
                long began = Stopwatch.GetTimestamp();
                if (await _lease.RenewAsync(_revision).ConfigureAwait(false) is not { } renewed)
                {
                    _logger.LogWarning("another SC has taken the lease");
                    await _lost.CancelAsync().ConfigureAwait(false);
                    return;
                }

                _revision = renewed;
                Extend(began);
            }
            catch (ClusterException silent)
            {
                _logger.LogWarning("the lease of the active SC could not be renewed: {Problem}", silent.Message);
            }
        }
    }
}
