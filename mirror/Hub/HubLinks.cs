using System.Collections.Concurrent;

namespace EdgeStream.Mirror.Hub;

/// <summary>The uplink stream of each geo-location; at most one runs at a time.</summary>
public sealed class HubLinks
{
    private readonly ConcurrentDictionary<string, Link> _links = new(StringComparer.Ordinal);

    /// <summary>Ends the geo-location's stream where it has one, waits until it is over, and takes its place.</summary>
    /// <param name="geoLocation">Whose stream.</param>
    /// <param name="stop">Cancelled when the next one comes.</param>
    public async Task<Link> ReplaceAsync(string geoLocation, CancellationTokenSource stop)
    {
        var link = new Link(this, geoLocation, stop);
        while (!_links.TryAdd(geoLocation, link))
        {
            if (_links.TryGetValue(geoLocation, out Link? old))
                await old.EndAsync().WaitAsync(stop.Token).ConfigureAwait(false);
        }

        return link;
    }

    public sealed class Link(HubLinks owner, string geoLocation, CancellationTokenSource stop) : IDisposable
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>A newer stream of the same geo-location has ended this one.</summary>
        public bool WasReplaced { get; private set; }

        public async Task EndAsync()
        {
            WasReplaced = true;
            try
            {
                await stop.CancelAsync().ConfigureAwait(false);
            }
            catch (ObjectDisposedException)
            {
                // It ended by itself meanwhile.
            }

            await _ended.Task.ConfigureAwait(false);
        }

        public void Dispose()
        {
            owner._links.TryRemove(KeyValuePair.Create(geoLocation, this));
            _ended.TrySetResult();
        }
    }
}
