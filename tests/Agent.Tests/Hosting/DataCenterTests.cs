using System.Buffers.Binary;
using EdgeStream.Client;
using EdgeStream.Cluster;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>SCs and SPUs together: who takes over from whom, and what each says of itself when something is not as it should be.</summary>
public sealed class DataCenterTests
{
    [Fact]
    public async Task Spu_that_stops_is_gone_only_when_another_leads_its_partitions()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode first = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateTopicAsync(nodes["sc"], "orders", 4);
        await RegisteredAsync(nodes, "spu-2", 2);
        using EdgeStreamClient sc = nodes["sc"].Connect();

        // Before it is even, so that some are led by the first.
        await first.StopAsync();
        Topology topology = await sc.GetTopologyAsync();
        Assert.All(topology.Topics.Single().Partitions, partition => Assert.Equal(2, partition.LeaderSpu));
        Assert.False(topology.Spus.Single(spu => spu.Id == 1).Online);
    }

    [Fact]
    public async Task Spu_that_is_gone_for_good_is_forgotten_and_one_that_is_there_is_not()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode gone = await RegisteredAsync(nodes, "spu-1", 1);
        await RegisteredAsync(nodes, "spu-2", 2);
        await gone.StopAsync();
        using EdgeStreamClient sc = nodes["sc"].Connect();
        var refused = await Assert.ThrowsAsync<ClientException>(() => RemoveAsync(sc, 2));
        Assert.Contains("SPU 2 is there; stop it first", refused.Message, StringComparison.Ordinal);
        Assert.Contains("there is no SPU 7", (await Assert.ThrowsAsync<ClientException>(() => RemoveAsync(sc, 7))).Message, StringComparison.Ordinal);
        await RemoveAsync(sc, 1);
        Assert.Equal([2], (await sc.GetTopologyAsync()).Spus.Select(spu => spu.Id));
    }

    [Fact]
    public async Task Second_process_with_an_identity_waits_and_says_why_and_takes_over_when_the_first_is_gone()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode first = await RegisteredAsync(nodes, "spu-1", 1);
        Assert.Equal($"SPU 1, registered with the SC at {nodes["sc"].Endpoint}", (await first.StatusAsync()).Standing);
        RunningNode copy = await nodes.StartSpu("copy", 1).ServingAsync();
        NodeStatus status = await copy.UntilAsync("the copy is refused", status => status.Problems.Any(problem => problem.Contains("is there already", StringComparison.Ordinal)));
        Assert.Contains($"an SPU 1 is there already, at {first.Endpoint}", Assert.Single(status.Problems), StringComparison.Ordinal);
        Assert.Equal(("SPU 1, without an SC", false), (status.Standing, status.SpuRegistered));
        await first.StopAsync();
        await copy.UntilAsync("the copy is registered", status => status.SpuRegistered);
    }

    [Fact]
    public async Task Partitions_that_were_led_with_later_epochs_than_the_topology_has_are_opened_with_later_ones_still()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode first = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateOrdersAsync(nodes, first, 3);
        await first.StopAsync();

        // As where the topology was restored, and what lies beside the partitions was not.
        await LeadAsync(nodes, spu: 2, epoch: 1_000_000);
        RunningNode again = await RegisteredAsync(nodes, "spu-1-again", 1);
        await again.UntilAsync("its partitions are open", status => AreOpen(status, 3));
        await nodes["sc"].UntilAsync("nothing is wrong", status => status.Problems.Count == 0);
    }

    [Fact]
    public async Task Partition_whose_stream_somebody_has_deleted_is_shown_closed_until_the_topic_is_made_again()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode spu = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateOrdersAsync(nodes, spu, 2);
        using EdgeStreamClient sc = nodes["sc"].Connect();
        string stream = $"edgestream-{(await sc.GetTopologyAsync()).ClusterId[..12]}-orders-0";
        await using var connection = new NatsConnection(new NatsOpts { Url = nodes.Nats.Url });
        await new NatsJSContext(connection).DeleteStreamAsync(stream);

        string reason = $"the NATS stream '{stream}', which had this partition, is gone";
        NodeStatus status = await spu.UntilAsync(
            "it says what is wrong", status => status.Partitions.Any(partition => partition.Problem.StartsWith(reason, StringComparison.Ordinal)));
        Assert.Equal("", status.Partitions.Single(partition => partition.Partition.Partition_ == 1).Problem);
        await nodes["sc"].UntilAsync(
            "the SC says so", status => status.Problems.Any(problem => problem.StartsWith($"SPU 1: orders/0: {reason}", StringComparison.Ordinal)));

        await sc.CallAsync(c => c.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = "orders" }));
        await CreateOrdersAsync(nodes, spu, 2);
        await nodes["sc"].UntilAsync("nothing is wrong", status => status.Problems.Count == 0);
    }

    [Fact]
    public async Task Of_two_processes_with_an_identity_one_serves_whichever_another_sc_lets_in()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode second = await nodes.StartSc("sc-2").ServingAsync();
        RunningNode original = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateOrdersAsync(nodes, original, 4);
        RunningNode copy = await nodes.StartSpu("copy", 1).ServingAsync();
        await copy.UntilAsync("the copy is refused", status => status.Problems.Any(problem => problem.Contains("is there already", StringComparison.Ordinal)));
        await nodes["sc"].UntilAsync("the SC says so", status => status.Problems.Any(problem => problem.StartsWith("SPU 1 is there twice", StringComparison.Ordinal)));

        await nodes["sc"].StopAsync();
        await second.UntilAsync("it is the active one", status => status.ScActive);
        await Condition.WaitAsync(() => "one of the two serves and the other does not", async () =>
        {
            NodeStatus[] both = [await original.StatusAsync(), await copy.StatusAsync()];
            return both.Count(status => status.SpuRegistered && AreOpen(status, 4)) == 1
                && both.Count(status => !status.SpuRegistered && status.Partitions.Count == 0
                    && status.Problems.Any(problem => problem.Contains("is there already", StringComparison.Ordinal))) == 1;
        });
    }

    [Fact]
    public async Task Second_sc_stands_by_names_the_active_one_and_takes_over()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode second = await nodes.StartSc("sc-2").ServingAsync();
        NodeStatus status = await second.UntilAsync("it knows the active one", status => status.Standing.Contains("the active one is", StringComparison.Ordinal));
        Assert.Contains(nodes["sc"].Endpoint, status.Standing, StringComparison.Ordinal);
        Assert.Empty(status.Problems);
        using EdgeStreamClient client = second.Connect();
        var refused = await Assert.ThrowsAsync<ClientException>(
            () => client.CallAsync(c => c.ControlPlane.DeleteTopicAsync(new DeleteTopicRequest { Name = "t" })));
        Assert.Equal(Protocol.V1.ErrorCode.Unavailable, refused.Code);
        Assert.Contains($"this SC stands by; the active one is", refused.Message, StringComparison.Ordinal);

        await nodes["sc"].StopAsync();
        await second.UntilAsync("it is the active one", status => status.ScActive);
    }

    [Fact]
    public async Task Second_sc_with_another_ca_says_so_while_it_stands_by()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode stranger = await nodes.StartSc("stranger", hasOwnAuthority: true).ServingAsync();
        NodeStatus status = await stranger.UntilAsync("it says what is wrong", status => status.Problems.Count > 0);
        Assert.Contains("is not that of the cluster 'edgestream'; copy the directory of another SC of it there", Assert.Single(status.Problems), StringComparison.Ordinal);
        Assert.True((await nodes["sc"].StatusAsync()).ScActive);
    }

    [Fact]
    public async Task Sc_without_its_store_says_so_and_is_the_active_one_as_soon_as_it_has_it()
    {
        await using var nodes = new DataCenterNodes();
        RunningNode sc = await nodes.StartSc("sc").ServingAsync();
        NodeStatus status = await sc.UntilAsync("it says what it waits for", status => status.Problems.Count > 0);
        Assert.Contains(nodes.Nats.Url, Assert.Single(status.Problems), StringComparison.Ordinal);
        await nodes.Nats.StartAsync();
        status = await sc.UntilAsync("it is the active one", status => status.ScActive);
        Assert.Empty(status.Problems);

        nodes.Nats.Kill();
        status = await sc.UntilAsync("it is so no more, and says why", status => !status.ScActive && status.Problems.Count > 0);
        Assert.Contains(nodes.Nats.Url, Assert.Single(status.Problems), StringComparison.Ordinal);
        await nodes.Nats.StartAsync();
        await sc.UntilAsync("it is again", status => status.ScActive && status.Problems.Count == 0);
    }

    [Fact]
    public async Task Sc_on_servers_without_jetstream_says_so()
    {
        await using var nodes = new DataCenterNodes(jetStream: false);
        await nodes.Nats.StartAsync();
        RunningNode sc = await nodes.StartSc("sc").ServingAsync();
        NodeStatus status = await sc.UntilAsync("it says what is wrong", status => status.Problems.Count > 0);
        Assert.Contains("JetStream", Assert.Single(status.Problems), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Older_topology_that_is_left_after_a_loss_is_served_by_spus_that_knew_the_newer_one()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode second = await nodes.StartSc("sc-2").ServingAsync();
        RunningNode spu = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateTopicAsync(nodes["sc"], "kept", 2);
        string bucket = Path.Combine(nodes.Nats.Store, "jetstream", "$G", "streams", "KV_edgestream-edgestream-meta"), copy = nodes.Nats.Store + "-copy";
        await KillNatsAsync(second);
        await DirectoryCopy.MakeAsync(bucket, copy);
        await nodes.Nats.StartAsync();
        RunningNode active = await ActiveAsync(nodes["sc"], second);
        await spu.UntilAsync("the SPU is registered again", status => status.SpuRegistered);
        for (int i = 0; i < 10; i++)
            await CreateTopicAsync(active, $"lost-{i}", 1);

        // So that its term is behind what is lost.
        RunningNode next = active == second ? nodes["sc"] : second;
        await active.StopAsync();
        await next.UntilAsync("the next SC is the active one", status => status.ScActive);
        await spu.UntilAsync("the SPU is registered with it", status => status.SpuRegistered);

        await KillNatsAsync(next);
        Directory.Delete(bucket, recursive: true);
        await DirectoryCopy.MakeAsync(copy, bucket);
        await nodes.Nats.StartAsync();
        await next.UntilAsync("the SC is the active one again", status => status.ScActive);
        await spu.UntilAsync("the SPU believes it", status => status.SpuRegistered);
        using EdgeStreamClient client = next.Connect();
        Assert.Equal(["kept"], (await client.GetTopologyAsync()).Topics.Select(topic => topic.Name));
        await CreateTopicAsync(next, "new", 1);
        using EdgeStreamClient served = spu.Connect();
        await Condition.WaitAsync(
            () => "the SPU serves what is there",
            async () => (await served.GetTopologyAsync()).Topics.Select(topic => topic.Name).SequenceEqual(["kept", "new"]));

        async Task KillNatsAsync(RunningNode standby)
        {
            nodes.Nats.Kill();
            await standby.UntilAsync("the lease is over", status => !status.ScActive && status.Problems.Count > 0);
        }
    }

    [Fact]
    public async Task Sc_takes_what_others_have_left_of_its_topology_only_when_that_is_asked_for()
    {
        await using DataCenterNodes nodes = await StartAsync();
        RunningNode spu = await RegisteredAsync(nodes, "spu-1", 1);
        await CreateTopicAsync(nodes["sc"], "kept", 1);
        await CreateTopicAsync(nodes["sc"], "overwritten", 1);
        string log = LogOf(await spu.UntilAsync("the topic is open", status => LogOf(status) is not null))!;
        await spu.StopAsync();
        await nodes["sc"].StopAsync();
        await using (var connection = new NatsConnection(new NatsOpts { Url = nodes.Nats.Url }))
            (await new NatsJSContext(connection).PublishAsync("$KV.edgestream-edgestream-meta.topic.overwritten", "anything"u8.ToArray())).EnsureSuccess();

        RunningNode refusing = await nodes.StartSc("sc-2").ServingAsync();
        NodeStatus status = await refusing.UntilAsync("it says what is wrong", status => status.Problems.Count > 0);
        Assert.Contains("'topic.overwritten' was written by something that is no SC", Assert.Single(status.Problems), StringComparison.Ordinal);
        Assert.Contains("start an SC with --accept-metadata once", Assert.Single(status.Problems), StringComparison.Ordinal);
        Assert.False(status.ScActive);

        RunningNode accepting = await nodes.StartSc("sc-3", acceptsLoss: true).ServingAsync();
        await accepting.UntilAsync("it is the active one", status => status.ScActive, TimeSpan.FromMinutes(2));
        using EdgeStreamClient client = accepting.Connect();
        Assert.Equal(["kept"], (await client.GetTopologyAsync()).Topics.Select(topic => topic.Name));

        // Its streams are there.
        RunningNode other = await RegisteredAsync(nodes, "spu-2", 2);
        await CreateTopicAsync(accepting, "overwritten", 1);
        await other.UntilAsync("it goes on with its log", status => LogOf(status) == log);

        // Also for those that were not asked.
        await accepting.StopAsync();
        await refusing.UntilAsync("the other takes over", status => status.ScActive);

        static string? LogOf(NodeStatus status) =>
            status.Partitions.FirstOrDefault(partition => partition.Partition.Topic == "overwritten" && partition.Incarnation.Length > 0)?.Incarnation;
    }

    private static async Task<RunningNode> ActiveAsync(params RunningNode[] nodes)
    {
        RunningNode? active = null;
        await Condition.WaitAsync(() => "one of them is the active one", async () =>
        {
            foreach (RunningNode node in nodes)
            {
                if ((await node.StatusAsync()).ScActive)
                    active = node;
            }

            return active is not null;
        });
        return active!;
    }

    internal static async Task<DataCenterNodes> StartAsync()
    {
        var nodes = new DataCenterNodes();
        await nodes.Nats.StartAsync();
        RunningNode sc = await nodes.StartSc("sc").ServingAsync();
        await sc.UntilAsync("the SC is the active one", status => status.ScActive);
        return nodes;
    }

    internal static async Task<RunningNode> RegisteredAsync(DataCenterNodes nodes, string name, int id)
    {
        RunningNode spu = await nodes.StartSpu(name, id).ServingAsync();
        await spu.UntilAsync("the SPU is registered", status => status.SpuRegistered);
        return spu;
    }

    internal static async Task CreateTopicAsync(RunningNode sc, string name, int partitions)
    {
        using EdgeStreamClient client = sc.Connect();
        await client.CallAsync(c => c.ControlPlane.CreateTopicAsync(new CreateTopicRequest { Name = name, Partitions = partitions, Settings = new TopicSettings() }));
    }

    /// <summary>Makes the topic <c>orders</c>, and waits until the SPU, which is the only one, has it open.</summary>
    private static async Task CreateOrdersAsync(DataCenterNodes nodes, RunningNode spu, int partitions)
    {
        await CreateTopicAsync(nodes["sc"], "orders", partitions);
        await spu.UntilAsync("its partitions are open", status => AreOpen(status, partitions));
    }

    private static bool AreOpen(NodeStatus status, int partitions) =>
        status.Partitions.Count == partitions && status.Partitions.All(partition => partition.Problem.Length == 0);

    /// <summary>Writes down of each partition that an SPU leads it.</summary>
    private static async Task LeadAsync(DataCenterNodes nodes, int spu, long epoch)
    {
        using EdgeStreamClient client = nodes["sc"].Connect();
        string bucket = $"edgestream-{(await client.GetTopologyAsync()).ClusterId[..12]}";
        await using var connection = new NatsConnection(new NatsOpts { Url = nodes.Nats.Url });
        var jetStream = new NatsJSContext(connection);
        var state = await jetStream.GetStreamAsync($"KV_{bucket}", new StreamInfoRequest { SubjectsFilter = $"$KV.{bucket}.*.leader" });
        byte[] entry = new byte[sizeof(long) + sizeof(int)];
        BinaryPrimitives.WriteInt64BigEndian(entry, epoch);
        BinaryPrimitives.WriteInt32BigEndian(entry.AsSpan(sizeof(long)), spu);
        Assert.NotEmpty(state.Info.State.Subjects!);
        foreach (string subject in state.Info.State.Subjects!.Keys)
            (await jetStream.PublishAsync(subject, entry)).EnsureSuccess();
    }

    private static async Task RemoveAsync(EdgeStreamClient client, int id) =>
        await client.CallAsync(c => c.ControlPlane.RemoveSpuAsync(new RemoveSpuRequest { Id = id }));
}
