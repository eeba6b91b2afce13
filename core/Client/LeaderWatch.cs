using System.Diagnostics;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Client;

/// <summary>
/// Beside a stream to a leader: when it is silent for a while, asks whether another SPU leads by now, and ends it then. So
/// neither one that hangs nor one that does not know of its successor keeps anybody.
/// </summary>
internal sealed class LeaderWatch : IAsyncDisposable
{
    private static readonly TimeSpan WhileIdle = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _moved = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly string _what;
    private readonly Func<Topology, CancellationToken, Task<Leader>> _find;
    private readonly Task _watching;
    private Leader _leader;
    private long _heardAt = Stopwatch.GetTimestamp();

    /// <param name="leader">Whom the stream goes to.</param>
    /// <param name="what">What it leads, for people: "orders/3 is led".</param>
    /// <param name="find">Finds who does by a newer topology than the one given.</param>
    /// <param name="patience">How long a silence counts for nothing, asked each time; null while nothing is expected.</param>
    public LeaderWatch(Leader leader, string what, Func<Topology, CancellationToken, Task<Leader>> find, Func<TimeSpan?> patience)
    {
        (_leader, _what, _find) = (leader, what, find);
        _watching = leader.CanMove ? WatchAsync(patience) : Task.CompletedTask;
    }

    /// <summary>Beside a stream of a partition's records.</summary>
    public static LeaderWatch OfPartition(EdgeStreamClient client, Leader leader, string topic, int partition, Func<TimeSpan?> patience) =>
        new(leader, $"{topic}/{partition} is led", (seen, cancellationToken) => client.FindLeaderAsync(topic, partition, seen, cancellationToken), patience);

    /// <summary>For the stream: cancelled when another leads.</summary>
    public CancellationToken Moved => _moved.Token;

    /// <summary>The newest that is known; for what comes after the stream.</summary>
    public Leader Leader => Volatile.Read(ref _leader);

    /// <summary>The stream is alive.</summary>
    public void Heard() => Volatile.Write(ref _heardAt, Stopwatch.GetTimestamp());

    /// <summary>What has ended the stream.</summary>
    public ClientException Explain(ClientException end) => _moved.IsCancellationRequested
        ? new ClientException(ErrorCode.NotLeader, $"{_what} by SPU {Leader.Spu} at {Leader.Node.Endpoint} now", end)
        : end;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
        _moved.Dispose();
    }

    private async Task WatchAsync(Func<TimeSpan?> patience)
    {
        while (true)
        {
            TimeSpan? silence = patience();
            if (silence is null)
                Heard();

            TimeSpan left = (silence ?? WhileIdle) - Stopwatch.GetElapsedTime(Volatile.Read(ref _heardAt));
            if (left > TimeSpan.Zero)
            {
                await Task.Delay(left, _stop.Token).ConfigureAwait(false);
                continue;
            }

            try
            {
                Leader now = await _find(Leader.Topology, _stop.Token).ConfigureAwait(false);
                bool isSame = now.IsSameAs(Leader);
                Volatile.Write(ref _leader, now);
                if (!isSame)
                {
                    await _moved.CancelAsync().ConfigureAwait(false);
                    return;
                }
            }
            catch (ClientException)
            {
                // The stream itself says what is wrong with it.
            }

            Heard();
        }
    }
}
