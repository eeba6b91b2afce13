using System.Diagnostics;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>The topology, for all producers and consumers of one client: those who ask for it at once share an answer. Safe from any thread.</summary>
internal sealed class TopologyCache(Func<Task<Topology>> ask)
{
    // However many look for leaders, the SC is not asked more often.
    private static readonly TimeSpan MinInterval = TimeSpan.FromMilliseconds(250);

    // Guards all below.
    private readonly Lock _lock = new();
    private Topology? _known;
    private long _askedAt = Stopwatch.GetTimestamp() - Stopwatch.Frequency;
    private Task<Topology>? _asking;
    private Task<Topology>? _next;

    /// <summary>The topology as it is now: asked for after this call.</summary>
    /// <exception cref="ClientException">It cannot be asked for.</exception>
    public Task<Topology> AskAsync()
    {
        lock (_lock)
            return _next ??= Task.Run(() => AskNextAsync(_asking ?? Task.CompletedTask));
    }

    /// <summary>Another than one that was seen before, which need not differ; where nobody answers, what is known.</summary>
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
            return Newer() ?? await AskAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
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

    private async Task<Topology> AskNextAsync(Task before)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_lock)
            (_asking, _next) = (_next, null);

        try
        {
            Topology answer = await ask().ConfigureAwait(false);
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
