using System.Diagnostics;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>The topology, for all producers and consumers of one client: those who ask for it at once share an answer. Safe from any thread.</summary>
/// <param name="ask">Asks for it, given the revision that is known; empty for all of it.</param>
internal sealed class TopologyCache(Func<string, Task<Topology>> ask)
{
    // However many look for leaders, the SC is not asked more often.
    private static readonly TimeSpan MinInterval = TimeSpan.FromMilliseconds(250);

    // Guards all below.
    private readonly Lock _lock = new();
    private Topology? _known;
    private long _askedAt = Stopwatch.GetTimestamp() - Stopwatch.Frequency;
    private Task<Topology>? _asking;
    private Task<Topology>? _next;
    private bool _isNextWhole;

    /// <summary>The topology as it is now: asked for after this call.</summary>
    /// <exception cref="ClientException">It cannot be asked for.</exception>
    public Task<Topology> AskAsync() => AskAsync(isWhole: true);

    /// <summary>
    /// Another than one that was seen before, which need not differ; where nobody answers, what is known. Of SPUs and edges it may say that
    /// they are there as it was when the topology itself was another.
    /// </summary>
    /// <exception cref="ClientException">It cannot be asked for, and none is known.</exception>
    public async Task<Topology> NewerThanAsync(Topology seen, CancellationToken cancellationToken)
    {
        TimeSpan pause;
        lock (_lock)
            pause = MinInterval - Stopwatch.GetElapsedTime(_askedAt);

        if (Newer() is null && pause > TimeSpan.Zero)
            await Task.Delay(pause, cancellationToken).ConfigureAwait(false);

        try
        {
            return Newer() ?? await AskAsync(isWhole: false).WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ClientException lost) when (lost.Code == ErrorCode.Unavailable)
        {
            // The SPUs go on without an SC, and so does who knows them.
            return Newer() ?? seen;
        }

        Topology? Newer()
        {
            lock (_lock)
                return ReferenceEquals(_known, seen) ? null : _known;
        }
    }

    private Task<Topology> AskAsync(bool isWhole)
    {
        lock (_lock)
        {
            _isNextWhole |= isWhole;
            return _next ??= Task.Run(() => AskNextAsync(_asking ?? Task.CompletedTask));
        }
    }

    private async Task<Topology> AskNextAsync(Task before)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        Topology? known;
        lock (_lock)
        {
            known = _isNextWhole ? null : _known;
            (_asking, _next, _isNextWhole) = (_next, null, false);
        }

        try
        {
            Topology answer = await ask(known?.Revision ?? "").ConfigureAwait(false);

            // Another object, which is how those who wait for a newer one tell that it was asked for.
            if (known is not null && answer.Unchanged)
                answer = known.Clone();

            lock (_lock)
                _known = answer;

            return answer;
        }
        finally
        {
            lock (_lock)
                _askedAt = Stopwatch.GetTimestamp();
        }
    }
}
