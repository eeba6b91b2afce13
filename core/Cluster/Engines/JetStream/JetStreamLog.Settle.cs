using EdgeStream.Cluster.Nats;
using EdgeStream.Storage;
using EdgeStream.Storage.Log;
using Microsoft.Extensions.Logging;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Cluster.Engines.JetStream;

/// <content>What was not acknowledged, for whatever reason: the stream itself is asked.</content>
internal sealed partial class JetStreamLog
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(1);

    private string Gone => $"the NATS stream '{_names.Stream}' is gone";

    private string Overtaken => $"another writer has taken over the NATS stream '{_names.Stream}'";

    /// <summary>
    /// Finds out which of the messages on their way are stored, and sees to it that the others never will be; acknowledges the former, and
    /// sends the latter again, or refuses them where there is no room. Waits for the servers as long as <see cref="JetStreamOptions.Patience"/>.
    /// </summary>
    /// <param name="outcome">What became of the oldest.</param>
    private async Task SettleAsync(PublishOutcome outcome)
    {
        await _sending.WaitAsync().ConfigureAwait(false);
        List<Publication> unsettled = [];
        try
        {
            while (_onTheWay.Reader.TryRead(out Publication? publication))
                unsettled.Add(publication);

            (int stored, long lastSequence, bool isFull) = await AskUntilAnsweredAsync(unsettled, outcome.Problem).ConfigureAwait(false);
            foreach (Publication publication in unsettled[..stored])
                Complete(publication);

            unsettled.RemoveRange(0, stored);
            _placedSequence = _settledSequence = lastSequence;
            if (isFull || outcome.Result == PublishResult.Full)
                Refuse(unsettled, outcome.Problem);
            else
                await SendAgainAsync(unsettled).ConfigureAwait(false);
        }
        catch (Exception lost)
        {
            // What became of these nobody here can tell; who opens the log anew will.
            FailAll(unsettled, Fail(lost.Message));
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <exception cref="PlaceLostException">They have answered, and the place is lost; or they have not for too long.</exception>
    private async Task<(int Stored, long LastSequence, bool IsFull)> AskUntilAnsweredAsync(List<Publication> unsettled, string problem)
    {
        long since = Environment.TickCount64;
        TimeSpan pause = FirstRetry;
        string? told = null;
        while (true)
        {
            try
            {
                return await TakePlaceBehindAsync(unsettled).ConfigureAwait(false);
            }
            catch (Exception silent) when (silent is ClusterException { Code: ErrorCode.Unavailable } or NatsJSApiException)
            {
                TimeSpan patience = Volatile.Read(ref _disposed) == 0 ? _options.Patience : _options.AnswerTimeout;
                if (Environment.TickCount64 - since > patience.TotalMilliseconds)
                    throw new PlaceLostException($"{silent.Message}; that was so for {patience.TotalSeconds:0} s (at first: {problem})");

                if (told != silent.Message)
                    _logger.LogWarning("{Partition}: what was sent is not acknowledged ({Problem}), and it waits: {Silence}", _id, problem, told = silent.Message);
            }

            await Task.Delay(pause).ConfigureAwait(false);
            pause = pause * 2 < LastRetry ? pause * 2 : LastRetry;
        }
    }

    /// <summary>
    /// As at opening: an epoch of ours behind the last message, and so behind all that were on their way. What lies before it is compared
    /// with what was sent, byte by byte.
    /// </summary>
    private async Task<(int Stored, long LastSequence, bool IsFull)> TakePlaceBehindAsync(List<Publication> unsettled)
    {
        for (int attempt = 0; attempt < MaxAttempts; attempt++)
        {
            StreamInfo stream = await TryFindOwnAsync().ConfigureAwait(false) ?? throw new PlaceLostException(Gone);
            long last = (long)stream.State.LastSeq;
            long before = Math.Max(Volatile.Read(ref _lastSequence), _settledSequence);
            if (last < before)
                throw _servers.Unavailable("a server answers that is behind the others");

            int stored = 0;
            long end = _durable.Value, latest = _durableLatest;
            StreamMessage? newest = null;
            IReadOnlySet<long>? deleted = null;
            try
            {
                for (long sequence = before + 1; sequence <= last; sequence++)
                {
                    newest?.Dispose();
                    newest = await _servers.FindFromLeaderAsync(_names.Stream, sequence, _names.Subject + ".*").ConfigureAwait(false);
                    if (newest is null || newest.Sequence != sequence)
                    {
                        newest?.Dispose();
                        newest = null;
                        deleted ??= await _servers.FindDeletedAsync(_names.Stream).ConfigureAwait(false);
                        if (deleted.Contains(sequence))
                            continue;

                        throw _servers.Unavailable("a message that was there a moment ago is not found");
                    }

                    if (newest.Kind == MessageKind.Epoch && newest.Writer == _writerId)
                        continue;

                    while (stored < unsettled.Count && !unsettled[stored].HasPayload)
                        stored++;

                    if (stored == unsettled.Count || !newest.HasPayload(unsettled[stored].Payload))
                        throw new PlaceLostException(Overtaken);

                    unsettled[stored].Sequence = sequence;
                    (end, latest) = (unsettled[stored].End, unsettled[stored].Latest);
                    stored++;
                }

                while (stored < unsettled.Count && !unsettled[stored].HasPayload)
                    stored++;

                if (newest is { Kind: MessageKind.Epoch })
                {
                    Volatile.Write(ref _lastSequence, last);
                    return (stored, last, false);
                }
            }
            finally
            {
                newest?.Dispose();
            }

            PublishOutcome outcome = await PublishEpochAsync(_names, _servers, _writerId, end, latest, last).ConfigureAwait(false);
            if (outcome.Result is PublishResult.Stored)
            {
                Volatile.Write(ref _lastSequence, outcome.Sequence);
                return (stored, outcome.Sequence, false);
            }

            // There is no room for a few bytes: nor for anything that is still on its way.
            if (outcome.Result is PublishResult.Full)
                return (stored, last, true);

            if (outcome.Result is PublishResult.Unknown)
                throw _servers.Unavailable(outcome.Problem);
        }

        throw _servers.Unavailable("messages come in all the time that were not sent here");
    }

    private async Task SendAgainAsync(List<Publication> unstored)
    {
        if (unstored.Count > 0)
            _logger.LogInformation("{Partition}: {Count} messages that NATS had not stored are sent again", _id, unstored.Count);

        while (unstored.Count > 0)
        {
            await SendAsync(unstored[0]).ConfigureAwait(false);
            unstored.RemoveAt(0);
        }
    }

    /// <summary>There is no room for the first, so the others, whose offsets come behind it, are refused with it.</summary>
    private void Refuse(List<Publication> unstored, string problem)
    {
        var full = StorageFullException.OfStream(_names.Stream, problem);
        _fullReason = full.Message;
        FailAll(unstored, full);

        // Some of its batches may have been in one of these.
        if (_current is { First: >= 0 } current)
        {
            current.Fail(full);
            _current = null;
        }

        (_placedEnd, _placedLatest) = (_durable.Value, _durableLatest);
        _sequences = null;
    }

    private void FailAll(IEnumerable<Publication> publications, Exception failure)
    {
        foreach (Publication publication in publications)
        {
            foreach (PendingAppend append in publication.Completes)
                append.Fail(failure);

            _places.Release();
        }
    }

    /// <summary>Another writer is there, or the stream is not. Never leaves the log.</summary>
    private sealed class PlaceLostException(string message) : Exception(message);
}
