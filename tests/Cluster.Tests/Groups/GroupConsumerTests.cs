using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using EdgeStream.Client;
using EdgeStream.Protocol.V1;
using EdgeStream.Testing;
using Grpc.Core;

namespace EdgeStream.Cluster.Tests.Groups;

/// <summary>Members of a group against a node, over its socket.</summary>
public sealed class GroupConsumerTests : IAsyncLifetime
{
    private InProcessNode _node = null!;

    private static CancellationToken Cancelled => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _node = await InProcessNode.StartAsync();

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Fact]
    public async Task Group_goes_on_behind_what_it_has_committed()
    {
        await _node.CreateTopicAsync("t", partitions: 3);
        await FillAsync("t", 0, 10);
        Assert.Equal(10, (await ReadToEndAsync("g", take: int.MaxValue)).Count);
        Assert.Empty(await ReadToEndAsync("g", take: int.MaxValue));

        await FillAsync("t", 10, 6);
        Assert.Equal(4, (await ReadToEndAsync("g", take: 4)).Count);
        Assert.Equal(2, (await ReadToEndAsync("g", take: int.MaxValue)).Count);

        // Another is not concerned.
        Assert.Equal(16, (await ReadToEndAsync("other", take: int.MaxValue)).Count);
    }

    [Fact]
    public async Task Record_that_was_not_dealt_with_comes_again()
    {
        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "a", "b", "c");
        await using (GroupConsumer consumer = Join("g"))
        {
            // Stops in the middle of the second, without a word.
            await foreach (GroupRecord given in consumer.ReadAsync(Cancelled))
            {
                if (Text(given) == "a")
                    await consumer.CommitAsync(Cancelled);
                else
                    break;
            }
        }

        Assert.Equal(["b", "c"], await ReadToEndAsync("g", take: int.MaxValue));
    }

    [Fact]
    public async Task New_group_begins_where_it_is_told_to_and_with_partitions_that_come_later_at_their_beginning()
    {
        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "old");
        await using GroupConsumer consumer = Join("g", options => options with { FromEnd = true });
        var given = new ConcurrentQueue<string>();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
        Task reading = CollectAsync(consumer, given, stop.Token);
        await Eventually.HoldsAsync(() => _node.Parts.Groups.List().Any(share => share.Member is not null), "it reads");
        await _node.FillAsync("t", "new");
        await Eventually.HoldsAsync(() => !given.IsEmpty, "it has read something");
        Assert.Equal(["new"], given);

        await stop.CancelAsync();
        await reading;
    }

    [Fact]
    public async Task Each_record_is_given_once_and_in_order_however_members_come_and_go()
    {
        const int Partitions = 6, Records = 6000;
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await _node.CreateTopicAsync("t", partitions: Partitions);
        var given = new ConcurrentQueue<(int Partition, long Offset)>();
        Task filling = Task.Run(() => FillAsync("t", 0, Records), Cancelled);

        var members = new List<(CancellationTokenSource Stop, Task Reading)>();
        while (!filling.IsCompleted || members.Count > 0)
        {
            if (!filling.IsCompleted && members.Count < 4 && (members.Count == 0 || random.Next(2) == 0))
            {
                var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
                members.Add((stop, Task.Run(() => ReadAsMemberAsync(given, stop.Token), Cancelled)));
            }
            else
            {
                (CancellationTokenSource Stop, Task Reading) leaving = members[random.Next(members.Count)];
                await leaving.Stop.CancelAsync();
                await leaving.Reading.InTimeAsync();
                leaving.Stop.Dispose();
                members.Remove(leaving);
            }

            int seen = given.Count;
            await Eventually.HoldsAsync(() => members.Count == 0 || given.Count > seen || given.Count >= Records || filling.IsCompleted, "the members read on");
        }

        await filling;
        await using (GroupConsumer last = Join("g", options => options with { StopAtEnd = true }))
        {
            await foreach (GroupRecord record in last.ReadAsync(Cancelled))
                given.Enqueue((record.Partition, record.Record.Offset));
        }

        Assert.Equal(Records, given.Count);
        foreach (var partition in given.GroupBy(record => record.Partition))
            Assert.Equal(Enumerable.Range(0, partition.Count()).Select(offset => (long)offset), partition.Select(record => record.Offset));
    }

    [Fact]
    public async Task Topic_that_is_deleted_ends_its_members_and_one_of_its_name_is_another()
    {
        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "a", "b");
        await using GroupConsumer consumer = Join("g");
        ClientException ended = await Assert.ThrowsAsync<ClientException>(async () =>
        {
            await foreach (GroupRecord given in consumer.ReadAsync(Cancelled))
            {
                await consumer.CommitAsync(Cancelled);
                if (Text(given) == "b")
                    await _node.Client.CallAsync(client => client.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = "t" }));
            }
        });
        Assert.Equal(ErrorCode.TopicNotFound, ended.Code);

        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "c");
        Assert.Equal(["c"], await ReadToEndAsync("g", take: int.MaxValue));
    }

    [Fact]
    public async Task Member_of_a_topic_that_is_not_there_is_told_so()
    {
        await using GroupConsumer consumer = Join("g");
        ClientException refused = await Assert.ThrowsAsync<ClientException>(async () =>
        {
            await foreach (GroupRecord _ in consumer.ReadAsync(Cancelled))
            {
            }
        });
        Assert.Equal("there is no topic 't'; 'edgestream topic create t' makes it", refused.Message);
    }

    [Fact]
    public async Task Commit_of_what_is_not_the_members_or_not_in_the_log_is_refused()
    {
        await _node.CreateTopicAsync("t", partitions: 2);
        foreach ((int partition, long offset, string problem) in ((int, long, string)[])
            [(0, 1, "t/0 ends at 0, and offset 1 cannot be committed"), (0, -1, "offset -1 cannot be committed"), (7, 0, "has no partition 7")])
        {
            using var call = _node.Client.ConsumerGroups.Join(cancellationToken: Cancelled);
            await call.RequestStream.WriteAsync(new GroupRequest { Join = new JoinGroup { Group = "g", Topic = "t" } }, Cancelled);
            var commit = new CommitPositions { Positions = { new PartitionPosition { Partition = partition, Offset = offset } } };
            await call.RequestStream.WriteAsync(new GroupRequest { Commit = commit }, Cancelled);
            RpcException refused = await Assert.ThrowsAsync<RpcException>(async () =>
            {
                while (await call.ResponseStream.MoveNext(Cancelled))
                {
                }
            });
            Assert.Contains(problem, refused.Status.Detail, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Group_is_reset_and_deleted_while_nobody_reads()
    {
        await _node.CreateTopicAsync("t");
        await _node.FillAsync("t", "a", "b", "c");
        await ReadToEndAsync("g", take: int.MaxValue);
        await ResetAsync(request => request.Offset = 1);
        Assert.Equal(["b", "c"], await ReadToEndAsync("g", take: int.MaxValue));
        await ResetAsync(request => request.Beginning = true);
        Assert.Equal(["a"], await ReadToEndAsync("g", take: 1));
        await ResetAsync(request => request.End = true);
        Assert.Empty(await ReadToEndAsync("g", take: int.MaxValue));
        Assert.Equal(ErrorCode.OffsetOutOfRange, (await Assert.ThrowsAsync<ClientException>(() => ResetAsync(request => request.Offset = 4))).Code);

        await using (GroupConsumer consumer = Join("g"))
        {
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(Cancelled);
            Task reading = CollectAsync(consumer, [], stop.Token);
            await Eventually.HoldsAsync(() => _node.Parts.Groups.List().Any(share => share.Member is not null), "it reads");
            Assert.Equal(ErrorCode.GroupInUse, (await Assert.ThrowsAsync<ClientException>(() => ResetAsync(request => request.End = true))).Code);
            Assert.Equal(ErrorCode.GroupInUse, (await Assert.ThrowsAsync<ClientException>(DeleteAsync)).Code);
            await stop.CancelAsync();
            await reading;
        }

        await Eventually.HoldsAsync(() => _node.Parts.Groups.List().All(share => share.Member is null), "it has left");
        await DeleteAsync();
        Assert.Empty(_node.Parts.Groups.List());
        Assert.Equal(ErrorCode.GroupNotFound, (await Assert.ThrowsAsync<ClientException>(DeleteAsync)).Code);
    }

    private Task<ResetGroupResponse> ResetAsync(Action<ResetGroupRequest> to)
    {
        var request = new ResetGroupRequest { Group = "g", Topic = "t" };
        to(request);
        return _node.Client.CallAsync(client => client.ConsumerGroups.ResetGroupAsync(request));
    }

    private Task<DeleteGroupResponse> DeleteAsync() => _node.Client.CallAsync(client => client.ConsumerGroups.DeleteGroupAsync(new DeleteGroupRequest { Group = "g" }));

    private GroupConsumer Join(string group, Func<GroupOptions, GroupOptions>? change = null)
    {
        var options = new GroupOptions(group, "t");
        return _node.Client.JoinGroup(change?.Invoke(options) ?? options);
    }

    /// <summary>Reads as a program does that ends in order: what it has dealt with is committed when it goes.</summary>
    private async Task ReadAsMemberAsync(ConcurrentQueue<(int Partition, long Offset)> given, CancellationToken stop)
    {
        await using GroupConsumer consumer = Join("g");
        try
        {
            await foreach (GroupRecord record in consumer.ReadAsync(stop))
                given.Enqueue((record.Partition, record.Record.Offset));
        }
        catch (OperationCanceledException)
        {
            await consumer.CommitAsync(Cancelled);
        }
    }

    private static async Task CollectAsync(GroupConsumer consumer, ConcurrentQueue<string> given, CancellationToken stop)
    {
        try
        {
            await foreach (GroupRecord record in consumer.ReadAsync(stop))
                given.Enqueue(Text(record));
        }
        catch (OperationCanceledException)
        {
            // The test has seen enough.
        }
    }

    private async Task<List<string>> ReadToEndAsync(string group, int take)
    {
        List<string> given = [];
        await using GroupConsumer consumer = Join(group, options => options with { StopAtEnd = true });
        await foreach (GroupRecord record in consumer.ReadAsync(Cancelled))
        {
            given.Add(Text(record));
            if (given.Count == take)
                break;
        }

        await consumer.CommitAsync(Cancelled);
        return given;
    }

    /// <summary>Appends numbers, in turn to each partition.</summary>
    private async Task FillAsync(string topic, int first, int count)
    {
        int partitions = _node.Parts.Controller.Current.Topics[topic].Partitions.Length;
        for (int i = first; i < first + count; i++)
        {
            await _node.Parts.Log(topic, i % partitions)
                .AppendAsync(Batches.Of(i.ToString(CultureInfo.InvariantCulture)), Storage.Log.AckLevel.Durable);
        }
    }

    private static string Text(GroupRecord record) => Encoding.UTF8.GetString(record.Record.Value!.Value.Span);
}
