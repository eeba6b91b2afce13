using EdgeStream.Cluster.Topology;
using Microsoft.Extensions.Logging;

namespace EdgeStream.Cluster.Controller;

/// <summary>
/// An SC while it is the active one of its cluster: the topology, the SPUs that serve it, and the tasks that give the partitions of dead SPUs
/// to others and delete what is left of deleted topics. Made anew each time that the SC becomes active, from what is stored.
/// </summary>
public sealed class ScActivity : IAsyncDisposable
{
    private static readonly TimeSpan BalanceInterval = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan TidyInterval = TimeSpan.FromSeconds(5);

    private readonly GeoLocationPresence _presence;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _balancing;
    private readonly Task _tidying;

    private ScActivity(StreamController controller, SpuRegistry spus, GeoLocationPresence presence, TimeProvider time, ILogger logger)
    {
        (Controller, Spus, _presence, _time, _logger) = (controller, spus, presence, time, logger);
        Ended = _stop.Token;
        _balancing = BalanceAsync();
        _tidying = TidyAsync();
    }

    public StreamController Controller { get; }

    public SpuRegistry Spus { get; }

    /// <summary>Cancelled when the SC is not the active one any more: what it serves as such ends.</summary>
    public CancellationToken Ended { get; }

    /// <param name="controller">Of the stored topology, with these SPUs; becomes the activity's.</param>
    /// <param name="spus">Those that register.</param>
    /// <param name="presence">Told whose links are gone with their SPU.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told what is moved, and why.</param>
    public static async Task<ScActivity> StartAsync(
        StreamController controller, SpuRegistry spus, GeoLocationPresence presence, TimeProvider time, ILogger logger)
    {
        // What was told the last time that this SC was the active one, the SPUs tell anew.
        presence.ForgetSpus();
        await controller.StartAsync().ConfigureAwait(false);
        return new ScActivity(controller, spus, presence, time, logger);
    }

    /// <summary>
    /// Takes a later term where an SPU that is about to register knows one that this SC's is not above: it would not believe what this SC tells.
    /// An SC that another has overtaken cannot do so: NATS refuses the write.
    /// </summary>
    /// <exception cref="ClusterException">It could not be written.</exception>
    public async Task EnsureBelievedAsync(int spu, string instance, long term)
    {
        if (!Spus.IsBehind(spu, instance, term))
            return;

        long raised = await Controller.RaiseTermAsync(term).ConfigureAwait(false);
        Spus.RaiseTerm(raised);
        _logger.LogWarning(
            "SPU {Id} knows the topology of an SC of term {Term}, of which nothing is stored any more: the last changes are lost, as where a NATS server's power failed or an older copy of its store was put back; "
            + "this SC goes on with what is stored, as term {Raised}; look whether topics and geo-locations are as they should be",
            spu, term, raised);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _balancing.ConfigureAwait(false);
        await _tidying.ConfigureAwait(false);
        Controller.Dispose();
        _stop.Dispose();
    }

    /// <summary>Never fails: what cannot be stored now is tried again, as long as this SC is the active one.</summary>
    private async Task BalanceAsync()
    {
        string? problem = null;
        while (!Ended.IsCancellationRequested)
        {
            try
            {
                // Not waited for with a token: what each round left behind would last until the next change.
                Task changed = Spus.Changed;
                await MoveAsync().ConfigureAwait(false);
                await RaiseAsync().ConfigureAwait(false);
                problem = null;
                await Task.WhenAny(changed, Task.Delay(BalanceInterval, _time, Ended)).ConfigureAwait(false);
            }
            catch (Exception error) when (!Ended.IsCancellationRequested)
            {
                if (IsNews(error, ref problem))
                    _logger.LogError("partitions cannot be given to other SPUs now: {Problem}; it is tried again", problem);

                await Task.Delay(BalanceInterval, _time, Ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception)
            {
                return;
            }
        }
    }

    /// <summary>Never fails, either. Only where all SPUs that may have been there before were told: who has a deleted topic open makes it anew.</summary>
    private async Task TidyAsync()
    {
        string? problem = null;
        while (!Ended.IsCancellationRequested)
        {
            try
            {
                if (Spus.IsSettled)
                    await Controller.RemoveDeletedAsync().ConfigureAwait(false);

                problem = null;
            }
            catch (Exception error) when (!Ended.IsCancellationRequested)
            {
                if (IsNews(error, ref problem))
                    _logger.LogWarning("what is left of deleted topics cannot be deleted now: {Problem}; it is tried again", problem);
            }
            catch (Exception)
            {
                return;
            }

            await Task.Delay(TidyInterval, _time, Ended).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Where the topology is older than what is stored of partitions, as after a restore, nobody could open them any more.</summary>
    private async Task RaiseAsync()
    {
        ILookup<int, OvertakenPartition> found = Spus.Overtaken;
        if (found.Count == 0)
            return;

        IReadOnlyList<PartitionId> raised = await Controller.RaiseEpochsAsync(found).ConfigureAwait(false);
        if (raised.Count > 0)
        {
            _logger.LogWarning(
                "{Raised} partitions, {First} among them, were led with later epochs than the topology has, as where copies of different times were restored; they have still later ones now",
                raised.Count, raised[0]);
        }
    }

    /// <summary>What is tried again is told once, as long as it is the same that stands in its way.</summary>
    private static bool IsNews(Exception error, ref string? told)
    {
        bool isNews = told != error.Message;
        told = error.Message;
        return isNews;
    }

    private async Task MoveAsync()
    {
        foreach (int dead in Spus.FindDead())
        {
            _logger.LogWarning("SPU {Id} is silent or has stopped", dead);
            _presence.ForgetSpu(dead);
        }

        IReadOnlyList<AliveSpu> alive = Spus.Alive;
        bool rebalance = Spus.IsSettled;
        IReadOnlyList<PartitionMove> wanted = Placement.Plan(alive, Controller.Current.Topics.Values, rebalance);
        if (wanted.Count == 0)
            return;

        IReadOnlyDictionary<PartitionId, string> leaders = await Spus.FindStreamLeadersAsync(wanted.Select(move => move.Partition), Ended).ConfigureAwait(false);
        int moved = await Controller
            .MoveAsync(map => Placement.Plan(alive, map.Topics.Values, rebalance, partition => leaders.GetValueOrDefault(partition))).ConfigureAwait(false);
        if (moved > 0)
            _logger.LogInformation("{Moved} partitions are led by other SPUs now; there are SPUs {Alive}", moved, string.Join(", ", alive.Select(spu => spu.Id)));
    }
}
