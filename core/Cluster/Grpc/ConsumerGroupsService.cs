using System.Threading.Channels;
using EdgeStream.Cluster.Groups;
using EdgeStream.Cluster.Topology;
using Grpc.Core;
using Microsoft.Extensions.Hosting;

namespace EdgeStream.Cluster.Grpc;

/// <summary>Consumer groups, as the SPU serves them that coordinates them.</summary>
public sealed class ConsumerGroupsService(
    IClusterView cluster, Accessor<GroupCoordinator> coordinator, TimeProvider time, IHostApplicationLifetime lifetime, ReaderStreams streams) : V1.ConsumerGroups.ConsumerGroupsBase
{
    /// <summary>A member that says nothing for so long is gone, or hangs: others get its share.</summary>
    public static readonly TimeSpan SilenceTimeout = TimeSpan.FromSeconds(30);

    // Of one member; one that commits without reading the answers is read no further.
    private const int MaxUnansweredCommits = 64;

    private const int MaxMemberName = 200;

    public override async Task Join(
        IAsyncStreamReader<V1.GroupRequest> requestStream, IServerStreamWriter<V1.GroupResponse> responseStream, ServerCallContext context)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, lifetime.ApplicationStopping);
        if (!await requestStream.MoveNext(stop.Token).ConfigureAwait(false))
            return;

        V1.JoinGroup join = requestStream.Current.Join
            ?? throw new ClusterException(ErrorCode.InvalidArgument, "the first request of Join says which group and topic ('join')");
        if (join.Member.Length > MaxMemberName)
            throw new ClusterException(ErrorCode.InvalidArgument, $"a member's name has {MaxMemberName} characters at most");

        using IDisposable open = streams.Open();
        GroupMember member = await coordinator.Value.JoinAsync(join.Group, join.Topic, join.FromEnd, ToPositions(join.Ends), join.Member).ConfigureAwait(false);
        try
        {
            await ServeAsync(member, requestStream, responseStream, stop).ConfigureAwait(false);
        }
        finally
        {
            coordinator.Value.Leave(member);
        }
    }

    public override async Task<V1.ListGroupsResponse> ListGroups(V1.ListGroupsRequest request, ServerCallContext context)
    {
        await coordinator.Value.LearnAsync().ConfigureAwait(false);
        return new V1.ListGroupsResponse { Partitions = { coordinator.Value.List().Select(ToMessage) } };
    }

    public override async Task<V1.ResetGroupResponse> ResetGroup(V1.ResetGroupRequest request, ServerCallContext context)
    {
        if (request.ToCase == V1.ResetGroupRequest.ToOneofCase.Positions)
        {
            await coordinator.Value.ResetAsync(request.Group, request.Topic, ToPositions(request.Positions.Positions)).ConfigureAwait(false);
            return new V1.ResetGroupResponse();
        }

        await coordinator.Value.ResetAsync(request.Group, request.Topic, request.HasPartition ? request.Partition : null, async log => request.ToCase switch
        {
            V1.ResetGroupRequest.ToOneofCase.Beginning => log.StartOffset,
            V1.ResetGroupRequest.ToOneofCase.End => log.Offsets.Durable,
            V1.ResetGroupRequest.ToOneofCase.Offset => request.Offset,
            V1.ResetGroupRequest.ToOneofCase.Time => await log.FindOffsetByTimeAsync(request.Time, context.CancellationToken).ConfigureAwait(false),
            _ => throw new ClusterException(ErrorCode.InvalidArgument, "it is not said where the group is to go on"),
        }).ConfigureAwait(false);
        return new V1.ResetGroupResponse();
    }

    public override async Task<V1.DeleteGroupResponse> DeleteGroup(V1.DeleteGroupRequest request, ServerCallContext context)
    {
        await coordinator.Value.DeleteAsync(Names.CheckGroup(request.Group), request.Topic.Length > 0 ? request.Topic : null).ConfigureAwait(false);
        return new V1.DeleteGroupResponse();
    }

    private async Task ServeAsync(
        GroupMember member, IAsyncStreamReader<V1.GroupRequest> requests, IServerStreamWriter<V1.GroupResponse> responses, CancellationTokenSource stop)
    {
        var commits = Channel.CreateBounded<Task>(new BoundedChannelOptions(MaxUnansweredCommits) { SingleReader = true, SingleWriter = true });
        using var writing = new SemaphoreSlim(1);
        Task[] tasks = [ReadAsync(member, requests, commits.Writer, stop.Token), AnswerAsync(), AssignAsync()];
        Task first = await Task.WhenAny(tasks).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first.ConfigureAwait(false);

        async Task AnswerAsync()
        {
            await foreach (Task commit in commits.Reader.ReadAllAsync(stop.Token).ConfigureAwait(false))
            {
                await commit.WaitAsync(stop.Token).ConfigureAwait(false);
                await WriteAsync(new V1.GroupResponse { Committed = new V1.PositionsCommitted() }).ConfigureAwait(false);
            }
        }

        async Task AssignAsync()
        {
            while (true)
            {
                await member.WaitForChangeAsync(stop.Token).ConfigureAwait(false);
                var assignment = new V1.GroupAssignment { Partitions = { coordinator.Value.ShareOf(member).Select(ToMessage) } };
                await WriteAsync(new V1.GroupResponse { Assignment = assignment }).ConfigureAwait(false);
            }
        }

        async Task WriteAsync(V1.GroupResponse response)
        {
            await writing.WaitAsync(stop.Token).ConfigureAwait(false);
            try
            {
                await responses.WriteAsync(response, stop.Token).ConfigureAwait(false);
            }
            finally
            {
                writing.Release();
            }
        }
    }

    private async Task ReadAsync(GroupMember member, IAsyncStreamReader<V1.GroupRequest> requests, ChannelWriter<Task> commits, CancellationToken cancellationToken)
    {
        while (await NextAsync(member, requests, cancellationToken).ConfigureAwait(false))
        {
            coordinator.Value.CheckReleases(member);
            switch (requests.Current.RequestCase)
            {
                case V1.GroupRequest.RequestOneofCase.Commit:
                    Task durable = coordinator.Value.CommitAsync(
                        member, [.. requests.Current.Commit.Positions.Select(position => new KeyValuePair<int, long>(position.Partition, position.Offset))]);
                    await commits.WriteAsync(durable, cancellationToken).ConfigureAwait(false);
                    break;

                case V1.GroupRequest.RequestOneofCase.Release:
                    coordinator.Value.Release(member, requests.Current.Release.Partitions);
                    break;
            }
        }
    }

    private async Task<bool> NextAsync(GroupMember member, IAsyncStreamReader<V1.GroupRequest> requests, CancellationToken cancellationToken)
    {
        using var silence = new CancellationTokenSource(SilenceTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silence.Token, cancellationToken);
        try
        {
            return await requests.MoveNext(either.Token).ConfigureAwait(false);
        }
        catch (Exception) when (silence.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new ClusterException(ErrorCode.Unavailable, $"nothing was heard of '{member.Name}' for {SilenceTimeout.TotalSeconds:0} s");
        }
    }

    private V1.GroupPartition ToMessage(GroupShare share)
    {
        PartitionInfo? info = cluster.Current.Topics.GetValueOrDefault(share.Partition.Topic)?.Partitions
            .FirstOrDefault(partition => partition.Number == share.Partition.Partition);
        return new V1.GroupPartition
        {
            Group = share.Group,
            Topic = share.Partition.Topic,
            Partition = share.Partition.Partition,
            GeoLocation = info?.GeoLocation ?? "",
            Offset = share.Offset,
            Durable = info is null ? share.Offset : coordinator.Value.DurableOf(share.Partition) ?? share.Offset,
            Member = share.Member ?? "",
        };
    }

    private static Dictionary<int, long> ToPositions(IEnumerable<V1.PartitionPosition> positions)
    {
        Dictionary<int, long> offsets = [];
        foreach (V1.PartitionPosition position in positions)
        {
            if (position.Offset < 0)
                throw new ClusterException(ErrorCode.InvalidArgument, $"offset {position.Offset} of partition {position.Partition} is negative");

            offsets[position.Partition] = position.Offset;
        }

        return offsets;
    }

    private static V1.PartitionPosition ToMessage(KeyValuePair<int, long> position) => new() { Partition = position.Key, Offset = position.Value };
}
