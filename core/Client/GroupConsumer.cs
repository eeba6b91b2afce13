using System.Diagnostics;
using System.Runtime.CompilerServices;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Time;
using Record = EdgeStream.Storage.Records.Record;

namespace EdgeStream.Client;

/// <summary>A record that was read together with those of other partitions.</summary>
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
    // The same problem of several partitions is told once.
    private static readonly TimeSpan ToldAgainAfter = TimeSpan.FromSeconds(1);

    private readonly EdgeStreamClient _client;
    private readonly GroupOptions _options;
    private readonly Dictionary<int, SharedPartition> _partitions = [];
    private readonly PartitionTurns _turns = new();
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
                SharedPartition partition = _turns.Current!;
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

    /// <summary>Until a partition has its turn, or all is read that was asked for, or the connection is lost.</summary>
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

                if (_turns.TryChoose())
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
        or ErrorCode.OffsetOutOfRange or ErrorCode.TooManyStreams;

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

    /// <summary>For a record, another share, or the time to commit.</summary>
    private async Task WaitAsync(CancellationToken cancellationToken)
    {
        using var waiting = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task share = _membership!.Assignments.WaitToReadAsync(waiting.Token).AsTask();
        Task record = _turns.WaitAsync(waiting.Token);
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
            _turns.Leave(partition);
        }

        if (lost.Length > 0)
        {
            await CommitSoonAsync(cancellationToken).ConfigureAwait(false);
            await _membership!.ReleaseAsync(lost.Select(partition => partition.Number), cancellationToken).ConfigureAwait(false);
        }

        foreach (PartitionPosition position in share.Partitions.Where(position => !_partitions.ContainsKey(position.Partition)))
        {
            var request = new ConsumeRequest
            {
                Topic = _options.Topic,
                Partition = position.Partition,
                Offset = position.Offset,
                StopAtEnd = _options.StopAtEnd,
            };
            _partitions[position.Partition] = new SharedPartition(request, ConsumeAsync, _turns.Arrived);
        }

        _hasShare = true;
    }

    private Task<Consumer> ConsumeAsync(ConsumeRequest request) =>
        _client.ConsumeAsync(request, gapSeen: _options.GapSeen, patience: TimeSpan.MaxValue, interrupted: Tell);

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
        {
            await partition.DisposeAsync().ConfigureAwait(false);
            _turns.Leave(partition);
        }

        _partitions.Clear();
        _uncommitted.Clear();
        (_hasShare, _out) = (false, null);
        if (_membership is not null)
            await _membership.DisposeAsync().ConfigureAwait(false);

        _membership = null;
        await _committing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _committing = Task.CompletedTask;
    }
}
