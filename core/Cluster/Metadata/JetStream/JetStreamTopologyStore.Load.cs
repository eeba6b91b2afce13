using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Metadata.JetStream;

public sealed partial class JetStreamTopologyStore
{
    // Questions that are under way at once while all is loaded.
    private const int LoadingAtOnce = 16;

    private const int NamedAtMost = 5;

    // Servers may be behind each other for a moment; what stays so was not written by us.
    private TimeSpan LoadPatience => _options.Patience / 2;

    private async Task LoadAsync(bool acceptsLoss, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        for (TopologyReading? before = null; ;)
        {
            TopologyReading? reading = await ReadAsync().ConfigureAwait(false);
            if (reading is { Problem: null })
            {
                Take(reading);
                return;
            }

            if (Stopwatch.GetElapsedTime(began) > LoadPatience)
            {
                bool isUsable = reading?.Entries.ContainsKey(TopologyKeys.Cluster) == true;
                if (!acceptsLoss || !isUsable || !reading!.IsSame(before))
                    throw NotAsLeft(reading, isUsable);

                Take(reading);
                _logger.LogWarning(
                    "the topology in {Stream} is taken as it is, as was asked for, though {Problem}; {Left}; look whether topics, geo-locations and invites are as they should be",
                    _bucket.Stream, reading.Problem, Left(reading));
                return;
            }

            before = reading;
            await Task.Delay(RetryAfter, cancellationToken).ConfigureAwait(false);
        }
    }

    private void Take(TopologyReading reading)
    {
        (_last, _sum, _entries) = (reading.Last, reading.Sum, reading.Entries);
        _overwritten.Clear();
        if (reading.Foreign.Count > 0)
        {
            _logger.LogWarning(
                "{Stream} has keys that no SC has written, which are passed over: {Keys}; delete them there", _bucket.Stream,
                string.Join(", ", reading.Foreign.Take(NamedAtMost)) + (reading.Foreign.Count > NamedAtMost ? $" and {reading.Foreign.Count - NamedAtMost} more" : ""));
        }
    }

    private ClusterException NotAsLeft(TopologyReading? reading, bool isUsable) => new(
        ErrorCode.StorageFailed,
        $"the topology in '{_bucket.Stream}' in NATS at {_options.Address} is not as an SC has left it: {reading?.Problem ?? "not all of it can be read"}; "
        + (reading is null ? "look at the NATS servers"
            : isUsable ? $"put back a copy of the NATS servers' stores, or start an SC with --accept-metadata once, which goes on with what is left ({Left(reading)})"
            : "put back a copy of the NATS servers' stores; or delete that stream for a cluster that begins anew, without all that this one has stored"));

    private static string Left(TopologyReading reading)
    {
        return $"topics: {Count(TopologyKeys.Topics)}, SPUs: {Count(TopologyKeys.Spus)}, geo-locations: {Count(TopologyKeys.GeoLocations)}";

        int Count(string prefix) => reading.Entries.Count(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal) && !entry.Value.Value.IsEmpty);
    }

    /// <summary>Null where not all that there is could be read: the server that was asked for messages is behind the one that said how many there are.</summary>
    private async Task<TopologyReading?> ReadAsync()
    {
        StreamInfo info = await _servers.FindStreamAsync(_bucket.Stream).ConfigureAwait(false)
            ?? throw _servers.Unavailable($"the stream '{_bucket.Stream}' is gone");
        long first = (long)info.State.FirstSeq, last = (long)info.State.LastSeq;
        var read = new ConcurrentBag<StoredMessage>();
        long part = Math.Max(1, (last - first + LoadingAtOnce) / LoadingAtOnce);
        await Task.WhenAll(Enumerable.Range(0, LoadingAtOnce).Select(i => first + (i * part)).TakeWhile(from => from <= last).Select(
            from => ReadAsync(from, Math.Min(last, from + part - 1), read))).ConfigureAwait(false);
        var reading = new TopologyReading(read, _bucket.SubjectOf(""), last);
        return info.State.Messages == 0 || await IsLastAsync(reading).ConfigureAwait(false) ? reading : null;
    }

    /// <summary>Whether there is nothing behind what was found: others may have deleted what they had written there.</summary>
    private async Task<bool> IsLastAsync(TopologyReading reading)
    {
        if (reading.LastFound == reading.Last)
            return true;

        IReadOnlySet<long> deleted = await _servers.FindDeletedAsync(_bucket.Stream).ConfigureAwait(false);
        for (long sequence = reading.LastFound + 1; sequence <= reading.Last; sequence++)
        {
            if (!deleted.Contains(sequence))
                return false;
        }

        return true;
    }

    private async Task ReadAsync(long first, long last, ConcurrentBag<StoredMessage> into)
    {
        for (long next = first; next <= last;)
        {
            StoredMessage? found = await _servers.FindNextAsync(_bucket.Stream, next, _bucket.SubjectOf(">")).ConfigureAwait(false);
            if (found is null || (long)found.Seq > last)
                return;

            into.Add(found);
            next = (long)found.Seq + 1;
        }
    }
}
