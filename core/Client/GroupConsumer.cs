using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Time;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A record that a member of a group was given.</summary>
/// <param name="Partition">Where it lies.</param>
/// <param name="Record">Valid until the next is asked for.</param>
/// <param name="Time">See <see cref="Consumer.TimeOf"/>.</param>
public readonly record struct GroupRecord(int Partition, Record Record, CorrectedTime Time);

/// <summary>
/// Reads a topic as a member of a consumer group: those of its partitions that no other member reads, from where the group is. Each record
/// is given to the group at least once, in the order of its partition. For one caller at a time.
/// </summary>
/// <remarks>
/// Where the connection is lost or another SPU coordinates the group it joins again, and goes on with the first record that was not
/// committed; a partition that another SPU leads it reads on there. Once it has joined, only what would be refused again ends it. Dispose
/// it to leave: the others get its partitions then.
/// </remarks>
public sealed class GroupConsumer : IAsyncDisposable
{
    // Records of one partition in a row while others wait.
    private const int MaxInARow = 500;

    // The same problem of several partitions is told once.
    private static readonly TimeSpan ToldAgainAfter = TimeSpan.FromSeconds(1);

    private readonly EdgeStreamClient _client;
    private readonly GroupOptions _options;
    private readonly Dictionary<int, SharedPartition> _partitions = [];

    // Those at which something may have arrived, in the order of their turns.
    private readonly Channel<SharedPartition> _ready = Channel.CreateUnbounded<SharedPartition>();
    private readonly Stopwatch _sinceCommit = Stopwatch.StartNew();
    private readonly Retries _retries = new(TimeSpan.MaxValue);

    // Guards what was told last.
    private readonly Lock _telling = new();
    private (string Problem, long At) _told = ("", 0);

    // By partition, the offset behind what was given out and is not committed.
    private readonly Dictionary<int, long> _uncommitted = [];

    // The record that was given out last, until the next is asked for.
    private (int Partition, long Next)? _out;
    private GroupMembership? _membership;
    private Task _committing = Task.CompletedTask;
    private SharedPartition? _current;
    private int _inARow;
    private bool _hasShare;
    private bool _wasReached;
    private bool _canMove;

    internal GroupConsumer(EdgeStreamClient client, GroupOptions options) => (_client, _options) = (client, options);

    /// <summary>The records that are this member's to deal with, as they come. To be called once.</summary>
    /// <exception cref="ClientException">The cluster refused, or could not be reached at the first try.</exception>
    public async IAsyncEnumerable<GroupRecord> ReadAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (true)
        {
            (bool isOver, string? interruption) = await MoveNextAsync(cancellationToken).ConfigureAwait(false);
            if (isOver)
                yield break;

            if (interruption is null)
            {
                _retries.Succeeded();
                SharedPartition partition = _current!;
                long next = partition.Current.Record.Offset + 1;
                _out = (partition.Number, next);
                yield return partition.Current;

                // Not before: who stops in the middle of a record gets it again.
                (_uncommitted[partition.Number], _out) = (next, null);
                partition.Advance();
                continue;
            }

            Tell(interruption);
            await _retries.PauseAsync(_canMove, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Commits all that was given out, the last record included; completes when it is durable. Not while <see cref="ReadAsync"/> looks
    /// for the next record.
    /// </summary>
    /// <exception cref="ClientException">The cluster cannot be reached: the records may come again.</exception>
    public async Task CommitAsync(CancellationToken cancellationToken = default)
    {
        if (_out is var (partition, next))
            _uncommitted[partition] = next;

        await CommitSoonAsync(cancellationToken).ConfigureAwait(false);
        await _committing.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Leaves the group. What was not committed comes again, to another member or later.</summary>
    public ValueTask DisposeAsync() => LeaveAsync();

    /// <summary>Until <see cref="_current"/> has a record, or all is read that was asked for, or the connection is lost.</summary>
    private async Task<(bool IsOver, string? Interruption)> MoveNextAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (_membership is null)
            {
                Leader coordinator = await _client.FindCoordinatorAsync(_options.Topic).WaitAsync(cancellationToken).ConfigureAwait(false);
                (_wasReached, _canMove) = (true, coordinator.CanMove);
                _membership = await GroupMembership.JoinAsync(_client, coordinator, _options, cancellationToken).ConfigureAwait(false);
            }

            while (true)
            {
                while (_membership.Assignments.TryRead(out GroupAssignment? share))
                    await TakeShareAsync(share, cancellationToken).ConfigureAwait(false);

                // Others may have the partitions already.
                if (_membership.Assignments.Completion is { IsCompleted: true } ended)
                    await ended.ConfigureAwait(false);

                if (_options.CommitEvery is { } interval && _committing.IsCompleted && _uncommitted.Count > 0 && _sinceCommit.Elapsed >= interval)
                    await CommitSoonAsync(cancellationToken).ConfigureAwait(false);

                if (TryChoose())
                    return (false, null);

                if (_options.StopAtEnd && _hasShare && _partitions.Values.All(partition => partition.HasEnded))
                    return (true, null);

                await WaitAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (ClientException lost) when (lost.Code == ErrorCode.NotLeader || (_wasReached && IsPassing(lost.Code)))
        {
            await LeaveAsync().ConfigureAwait(false);
            return (false, lost.Message);
        }
    }

    /// <summary>What trying again may cure.</summary>
    private static bool IsPassing(ErrorCode code) => code
        is ErrorCode.Unavailable or ErrorCode.Internal or ErrorCode.StorageFull or ErrorCode.StorageFailed or ErrorCode.PartitionNotFound
        or ErrorCode.OffsetOutOfRange;

    private void Tell(string problem)
    {
        lock (_telling)
        {
            if (problem == _told.Problem && Stopwatch.GetElapsedTime(_told.At) < ToldAgainAfter)
                return;

            _told = (problem, Stopwatch.GetTimestamp());
        }

        _options.Interrupted?.Invoke(problem);
    }

    /// <summary>Goes on with the partition that had its turn, or gives the next one a turn.</summary>
    private bool TryChoose()
    {
        if (IsAtHand(_current))
        {
            if (++_inARow < MaxInARow)
                return true;

            _ready.Writer.TryWrite(_current!);
        }

        _inARow = 0;
        while (_ready.Reader.TryRead(out SharedPartition? next))
        {
            if (!IsAtHand(next))
                continue;

            _current = next;
            return true;
        }

        return false;
    }

    /// <summary>Whether there is a record.</summary>
    /// <exception cref="ClientException">The partition cannot be read any more.</exception>
    private static bool IsAtHand(SharedPartition? partition) =>
        partition is { IsDisposed: false, Arrival.IsCompleted: true } && partition.Arrival.GetAwaiter().GetResult();

    /// <summary>For a record, another share, or the time to commit.</summary>
    private async Task WaitAsync(CancellationToken cancellationToken)
    {
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task share = _membership!.Assignments.WaitToReadAsync(waiting.Token).AsTask();
        Task record = _ready.Reader.WaitToReadAsync(waiting.Token).AsTask();
        List<Task> events = [share, record];
        if (_uncommitted.Count > 0 && _options.CommitEvery is { } interval)
        {
            TimeSpan due = interval - _sinceCommit.Elapsed;
            events.Add(Task.WhenAll(_committing, Task.Delay(due > TimeSpan.Zero ? due : TimeSpan.Zero, waiting.Token)));
        }

        Task first = await Task.WhenAny(events).ConfigureAwait(false);
        await waiting.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(share, record).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        await first.ConfigureAwait(false);
    }

    private async Task TakeShareAsync(GroupAssignment share, CancellationToken cancellationToken)
    {
        HashSet<int> mine = [.. share.Partitions.Select(position => position.Partition)];
        SharedPartition[] lost = [.. _partitions.Values.Where(partition => !mine.Contains(partition.Number))];
        foreach (SharedPartition partition in lost)
        {
            await partition.DisposeAsync().ConfigureAwait(false);
            _partitions.Remove(partition.Number);
            if (ReferenceEquals(_current, partition))
                _current = null;
        }

        if (lost.Length > 0)
        {
            await CommitSoonAsync(cancellationToken).ConfigureAwait(false);
            await _membership!.ReleaseAsync(lost.Select(partition => partition.Number), cancellationToken).ConfigureAwait(false);
        }

        foreach (PartitionPosition position in share.Partitions.Where(position => !_partitions.ContainsKey(position.Partition)))
        {
            _partitions[position.Partition] = new SharedPartition(
                _client, _options with { Interrupted = Tell }, position.Partition, position.Offset, arrived => _ready.Writer.TryWrite(arrived));
        }

        _hasShare = true;
    }

    private async Task CommitSoonAsync(CancellationToken cancellationToken)
    {
        _sinceCommit.Restart();
        if (_uncommitted.Count == 0)
            return;

        GroupMembership membership = _membership ?? throw new ClientException(ErrorCode.Unavailable, "the group was left; what was not committed comes again");
        Task before = _committing, committed = await membership.CommitAsync([.. _uncommitted], cancellationToken).ConfigureAwait(false);
        _committing = Task.WhenAll(before, committed);
        _uncommitted.Clear();
    }

    private async ValueTask LeaveAsync()
    {
        foreach (SharedPartition partition in _partitions.Values)
            await partition.DisposeAsync().ConfigureAwait(false);

        _partitions.Clear();
        _uncommitted.Clear();
        _current = null;
        (_hasShare, _out) = (false, null);
        if (_membership is not null)
            await _membership.DisposeAsync().ConfigureAwait(false);

        _membership = null;
        await _committing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _committing = Task.CompletedTask;
    }
}
