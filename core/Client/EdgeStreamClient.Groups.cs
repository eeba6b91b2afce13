using EdgeStream.Protocol.V1;
using Grpc.Core;

namespace EdgeStream.Client;

/// <content>Consumer groups, whose coordinators are the SPUs.</content>
public sealed partial class EdgeStreamClient
{
    // As long as it takes until another SPU has the place of one that is gone.
    private static readonly TimeSpan CoordinatorPatience = TimeSpan.FromSeconds(10);

    /// <summary>How far groups have read, by group, topic and partition.</summary>
    /// <exception cref="ClientException">The cluster cannot be reached.</exception>
    public async Task<Gathered<GroupPartition>> ListGroupsAsync()
    {
        Answers<ListGroupsResponse> answers = await AskAllAsync("", (node, timeout) =>
            node.CallAsync(one => one.ConsumerGroups.ListGroupsAsync(new ListGroupsRequest())).WaitAsync(timeout)).ConfigureAwait(false);
        if (Leader.IsOneProcess(answers.Topology))
            return new Gathered<GroupPartition>(answers.Values.Single().Partitions, []);

        // What lies durable, only the leader of a partition knows.
        Dictionary<(string, int), PartitionStatus> partitions = (await ListPartitionsAsync().ConfigureAwait(false))
            .Where(status => status.Problem.Length == 0)
            .ToDictionary(status => (status.Partition.Topic, status.Partition.Partition_));
        GroupPartition[] all = [.. answers.Values.SelectMany(response => response.Partitions)
            .DistinctBy(read => (read.Group, read.Topic, read.Partition))
            .OrderBy(read => read.Group, StringComparer.Ordinal).ThenBy(read => read.Topic, StringComparer.Ordinal).ThenBy(read => read.Partition)];
        foreach (GroupPartition read in all)
        {
            if (partitions.TryGetValue((read.Topic, read.Partition), out PartitionStatus? status))
                read.Durable = status.Durable;
        }

        return new Gathered<GroupPartition>(all, answers.Problems);
    }

    /// <summary>Sets where a group goes on that nobody reads with now.</summary>
    /// <exception cref="ClientException">The group has members, there is no such topic, partition or offset, or the cluster cannot be reached.</exception>
    public async Task ResetGroupAsync(ResetGroupRequest request)
    {
        Leader coordinator = await FindCoordinatorAsync(request.Topic).ConfigureAwait(false);
        if (coordinator.CanMove)
        {
            CommitPositions positions = await ResolveAsync(request, coordinator.Topic).ConfigureAwait(false);
            request = new ResetGroupRequest { Group = request.Group, Topic = request.Topic, Positions = positions };
        }

        await AtCoordinatorAsync(coordinator, request.Topic, node => node.ConsumerGroups.ResetGroupAsync(request)).ConfigureAwait(false);
    }

    /// <summary>Forgets how far a group has read a topic, or all, that nobody reads with now.</summary>
    /// <param name="group">The group's name.</param>
    /// <param name="topic">Of this topic only; empty for all.</param>
    /// <exception cref="ClientException">The group has members or is unknown, or the cluster cannot be reached.</exception>
    public async Task DeleteGroupAsync(string group, string topic = "")
    {
        Topology topology = await AskTopologyAsync().ConfigureAwait(false);
        if (topic.Length > 0 && !Leader.IsOneProcess(topology))
        {
            await AtCoordinatorAsync(CoordinatorOf(topology, topic), topic, Delete).ConfigureAwait(false);
            return;
        }

        // Of topics that others coordinate, an SPU knows no groups; one that does not answer may have some.
        List<ClientException> unknown = [];
        foreach (Spu spu in topology.Spus)
        {
            try
            {
                await NodeOf(spu).CallAsync(Delete).ConfigureAwait(false);
            }
            catch (ClientException error) when (error.Code == ErrorCode.GroupNotFound)
            {
                unknown.Add(error);
            }
        }

        if (unknown.Count == topology.Spus.Count && unknown.Count > 0)
            throw unknown[0];

        AsyncUnaryCall<DeleteGroupResponse> Delete(NodeClient node) =>
            node.ConsumerGroups.DeleteGroupAsync(new DeleteGroupRequest { Group = group, Topic = topic });
    }

    /// <summary>The durable ends of a topic's partitions.</summary>
    /// <remarks>Without those that cannot be asked for now.</remarks>
    /// <exception cref="ClientException">There is no such topic, or the cluster cannot be reached.</exception>
    internal async Task<IReadOnlyList<PartitionPosition>> ReadEndsAsync(string topic) =>
        [.. (await ListPartitionsAsync(topic).ConfigureAwait(false))
            .Where(status => status.Problem.Length == 0)
            .Select(status => new PartitionPosition { Partition = status.Partition.Partition_, Offset = status.Durable })];

    /// <summary>What a reset stands for, as the leaders of the partitions know it.</summary>
    private async Task<CommitPositions> ResolveAsync(ResetGroupRequest request, Topic topic)
    {
        if (request.HasPartition && topic.Partitions.All(partition => partition.Partition_ != request.Partition))
            throw new ClientException(ErrorCode.PartitionNotFound, $"topic '{topic.Name}' has no partition {request.Partition}, it has {topic.Partitions.Count}");

        var positions = new CommitPositions();
        foreach (PartitionStatus status in await ListPartitionsAsync(topic.Name).ConfigureAwait(false))
        {
            int number = status.Partition.Partition_;
            if (request.HasPartition && number != request.Partition)
                continue;

            if (status.Problem.Length > 0)
                throw new ClientException(ErrorCode.Unavailable, $"{topic.Name}/{number} cannot be asked for its offsets: {status.Problem}");

            long offset = request.ToCase switch
            {
                ResetGroupRequest.ToOneofCase.Beginning => status.LogStart,
                ResetGroupRequest.ToOneofCase.End => status.Durable,
                ResetGroupRequest.ToOneofCase.Offset => request.Offset,
                ResetGroupRequest.ToOneofCase.Time => await FindOffsetByTimeAsync(topic.Name, number, request.Time).ConfigureAwait(false),
                _ => throw new ClientException(ErrorCode.InvalidArgument, "it is not said where the group is to go on"),
            };
            if (request.ToCase == ResetGroupRequest.ToOneofCase.Offset && (offset < status.LogStart || offset > status.Durable))
                throw new ClientException(ErrorCode.OffsetOutOfRange, $"{topic.Name}/{number} has the offsets {status.LogStart} to {status.Durable}, not {offset}");

            positions.Positions.Add(new PartitionPosition { Partition = number, Offset = offset });
        }

        return positions;
    }

    private async Task<long> FindOffsetByTimeAsync(string topic, int partition, long time)
    {
        using Consumer consumer = await ConsumeAsync(
            new ConsumeRequest { Topic = topic, Partition = partition, Time = time, StopAtEnd = true }, patience: CoordinatorPatience).ConfigureAwait(false);
        return await consumer.FindStartAsync().ConfigureAwait(false);
    }

    /// <summary>Runs a call at the coordinator of a topic's groups, wherever it goes meanwhile.</summary>
    private async Task<T> AtCoordinatorAsync<T>(Leader coordinator, string topic, Func<NodeClient, AsyncUnaryCall<T>> call)
    {
        var retries = new Retries(CoordinatorPatience);
        while (true)
        {
            try
            {
                return await coordinator.Node.CallAsync(call).ConfigureAwait(false);
            }
            catch (ClientException lost) when (coordinator.CanMove && coordinator.IsPassing(lost.Code) && retries.IsWorthwhile())
            {
                await retries.PauseAsync(several: true, CancellationToken.None).ConfigureAwait(false);
                coordinator = await FindCoordinatorAsync(topic, coordinator.Topology, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }
}
