using System.Threading.Channels;
using EdgeStream.Protocol.V1;
using Grpc.Core;

namespace EdgeStream.Client;

/// <summary>
/// The stream by which a member belongs to its group: what it is given to read comes in, what it has read goes out. Says from time to time
/// that it is there. Safe from any thread.
/// </summary>
internal sealed class GroupMembership : IAsyncDisposable
{
    // A third of the time after which a silent member is taken for gone.
    private static readonly TimeSpan Heartbeat = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan LeavingTimeout = TimeSpan.FromSeconds(1);

    // A coordinator that does not know that another has its place is silent, as one with nothing to say is.
    private static readonly TimeSpan SilentFor = TimeSpan.FromSeconds(5);

    private readonly AsyncDuplexStreamingCall<GroupRequest, GroupResponse> _call;
    private readonly Leader _coordinator;
    private readonly LeaderWatch _watch;
    private readonly SemaphoreSlim _writing = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly Channel<GroupAssignment> _assignments = Channel.CreateUnbounded<GroupAssignment>();
    private readonly Channel<TaskCompletionSource> _commits = Channel.CreateUnbounded<TaskCompletionSource>();
    private readonly TaskCompletionSource<Exception> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;
    private readonly Task _beating;

    private GroupMembership(EdgeStreamClient client, Leader coordinator, string topic)
    {
        _coordinator = coordinator;
        _watch = new LeaderWatch(
            coordinator, $"the groups of '{topic}' are coordinated", (seen, cancellationToken) => client.FindCoordinatorAsync(topic, seen, cancellationToken), () => SilentFor);
        _call = coordinator.Node.ConsumerGroups.Join(cancellationToken: _watch.Moved);
        _reading = ReadAsync();
        _beating = BeatAsync();
    }

    /// <summary>What is the member's from now on, each time that it changes. Ends with the <see cref="ClientException"/> that ends the membership.</summary>
    public ChannelReader<GroupAssignment> Assignments => _assignments.Reader;

    /// <exception cref="ClientException">The coordinator cannot be reached. What it refuses, <see cref="Assignments"/> says.</exception>
    public static async Task<GroupMembership> JoinAsync(
        EdgeStreamClient client, Leader coordinator, GroupOptions options, CancellationToken cancellationToken)
    {
        var join = new JoinGroup { Group = options.Group, Topic = options.Topic, FromEnd = options.FromEnd, Member = options.Member };

        // The coordinator knows the ends of those partitions only that it leads.
        if (options.FromEnd && coordinator.CanMove)
            join.Ends.Add(await client.ReadEndsAsync(options.Topic).WaitAsync(cancellationToken).ConfigureAwait(false));

        var membership = new GroupMembership(client, coordinator, options.Topic);
        try
        {
            await membership.SendAsync(new GroupRequest { Join = join }, cancellationToken).ConfigureAwait(false);
            return membership;
        }
        catch
        {
            await membership.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Commits, in the order of the calls. The inner task completes when it is durable.</summary>
    /// <exception cref="ClientException">The membership has ended.</exception>
    public async Task<Task> CommitAsync(IEnumerable<KeyValuePair<int, long>> positions, CancellationToken cancellationToken)
    {
        var committed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var request = new CommitPositions
        {
            Positions = { positions.Select(position => new PartitionPosition { Partition = position.Key, Offset = position.Value }) },
        };
        await SendAsync(new GroupRequest { Commit = request }, cancellationToken, committed).ConfigureAwait(false);
        return committed.Task;
    }

    public Task ReleaseAsync(IEnumerable<int> partitions, CancellationToken cancellationToken) =>
        SendAsync(new GroupRequest { Release = new ReleasePartitions { Partitions = { partitions } } }, cancellationToken);

    /// <summary>Leaves the group: who joins when this has completed finds the partitions free, if the cluster could be reached.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _beating.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await _call.RequestStream.CompleteAsync().ConfigureAwait(false);
            await _reading.WaitAsync(LeavingTimeout).ConfigureAwait(false);
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or IOException or TimeoutException or OperationCanceledException)
        {
            // It has ended already, or does not answer; then it is found out by its silence.
        }

        _call.Dispose();
        await _reading.ConfigureAwait(false);
        await _watch.DisposeAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    /// <summary>Who gives up waiting does not stop it: a request that was begun is sent as a whole, and its answer has its place.</summary>
    private Task SendAsync(GroupRequest request, CancellationToken cancellationToken, TaskCompletionSource? answered = null) =>
        SendWholeAsync(request, answered).WaitAsync(cancellationToken);

    private async Task SendWholeAsync(GroupRequest request, TaskCompletionSource? answered)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            // In the order of the requests. Refused where the answers have ended, with the reason.
            if (answered is not null && !_commits.Writer.TryWrite(answered))
                await _commits.Reader.Completion.ConfigureAwait(false);

            await _call.RequestStream.WriteAsync(request).ConfigureAwait(false);
        }
        catch (Exception error) when (error is RpcException or InvalidOperationException or IOException or OperationCanceledException)
        {
            // What has ended the stream, its answers say in better words.
            Exception end = await _ended.Task.ConfigureAwait(false);
            throw new ClientException(end is ClientException known ? known.Code : ErrorCode.Unavailable, end.Message, error);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Never fails.</summary>
    private async Task ReadAsync()
    {
        Exception end;
        try
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None).ConfigureAwait(false))
            {
                GroupResponse response = _call.ResponseStream.Current;
                _watch.Heard();
                if (response.Assignment is { } assignment)
                    _assignments.Writer.TryWrite(assignment);
                else if (response.Committed is not null && _commits.Reader.TryRead(out TaskCompletionSource? oldest))
                    oldest.TrySetResult();
            }

            end = new ClientException(ErrorCode.Unavailable, $"{_coordinator.Node.Endpoint} has ended the membership");
        }
        catch (RpcException error)
        {
            ClientException reason = _watch.Explain(ClientException.From(error, _coordinator.Node.Endpoint));

            // Where the topology has it, the SPU was not told of it yet; where it has not, whoever joins again finds that.
            end = _coordinator.CanMove && reason.Code == ErrorCode.TopicNotFound ? new ClientException(ErrorCode.NotLeader, reason.Message, reason) : reason;
        }
        catch (Exception error)
        {
            end = error;
        }

        _ended.TrySetResult(end);
        _assignments.Writer.TryComplete(end);
        _commits.Writer.TryComplete(end);
        while (_commits.Reader.TryRead(out TaskCompletionSource? waiting))
            waiting.TrySetException(end);
    }

    private async Task BeatAsync()
    {
        try
        {
            while (true)
            {
                await Task.Delay(Heartbeat, _stop.Token).ConfigureAwait(false);
                await SendAsync(new GroupRequest { Heartbeat = new GroupHeartbeat() }, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (Exception error) when (error is OperationCanceledException or ClientException)
        {
            // Who reads is told.
        }
    }
}
