using System.Security.Cryptography.X509Certificates;
using EdgeStream.Client;
using EdgeStream.Harness;
using EdgeStream.Protocol.V1;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>Certificates of programs and SPUs whose names are revoked while they are in use.</summary>
public sealed class RevocationTests
{
    [Fact(Timeout = 120_000)]
    public async Task Consumer_that_is_revoked_reads_no_further_at_an_spu_and_another_one_does()
    {
        await using DataCenterNodes nodes = await DataCenterTests.StartAsync();
        RunningNode spu = await DataCenterTests.RegisteredAsync(nodes, "spu-1", 1);
        await DataCenterTests.CreateTopicAsync(nodes["sc"], "orders", 1);
        using EdgeStreamClient sc = nodes["sc"].Connect(), revoked = await ClientAsync(sc, spu, "ann"), other = await ClientAsync(sc, spu, "bob");
        await AppendAsync(other, "one");
        using Consumer consumer = await revoked.ConsumeAsync(new ConsumeRequest { Topic = "orders", Beginning = true });
        await using IAsyncEnumerator<Record> records = consumer.ReadAsync().GetAsyncEnumerator();
        Assert.True(await records.MoveNextAsync());

        await RevokeAsync(sc, "ann");
        var refused = await Assert.ThrowsAsync<ClientException>(() => records.MoveNextAsync().AsTask());
        Assert.Equal((ErrorCode.Unauthenticated, true), (refused.Code, refused.Message.Contains("those of 'ann' were revoked", StringComparison.Ordinal)));
        Assert.Contains("those of 'ann' were revoked", (await Assert.ThrowsAsync<ClientException>(() => revoked.GetTopologyAsync())).Message, StringComparison.Ordinal);
        Assert.Equal(["ann"], (await other.GetTopologyAsync()).RevokedNames);

        var again = await Assert.ThrowsAsync<ClientException>(() => IssueAsync(sc, "ann"));
        Assert.Contains("choose another name", again.Message, StringComparison.Ordinal);
    }

    [Fact(Timeout = 120_000)]
    public async Task Spu_that_is_revoked_loses_its_partitions_and_is_refused_by_the_next_sc_too()
    {
        await using DataCenterNodes nodes = await DataCenterTests.StartAsync();
        RunningNode next = await nodes.StartSc("sc-2").ServingAsync();
        RunningNode stolen = await DataCenterTests.RegisteredAsync(nodes, "spu-1", 1);
        await DataCenterTests.CreateTopicAsync(nodes["sc"], "orders", 2);
        await DataCenterTests.RegisteredAsync(nodes, "spu-2", 2);
        using EdgeStreamClient sc = nodes["sc"].Connect();

        await RevokeAsync(sc, "spu-1");
        await Condition.WaitAsync(
            () => "the other SPU leads all",
            async () => (await sc.GetTopologyAsync()).Topics.Single().Partitions.All(partition => partition.LeaderSpu == 2));
        await stolen.UntilAsync("it says why", IsRefused);

        await nodes["sc"].StopAsync();
        await next.UntilAsync("the next SC is the active one", status => status.ScActive);
        await stolen.UntilAsync(
            "it is refused there, where the first does not answer any more",
            status => IsRefused(status) && status.Problems.Any(problem => problem.Contains($"no answer from {nodes["sc"].Endpoint}", StringComparison.Ordinal)));

        static bool IsRefused(NodeStatus status) =>
            !status.SpuRegistered && status.Problems.Any(problem => problem.Contains("those of 'spu-1' were revoked", StringComparison.Ordinal));
    }

    private static async Task RevokeAsync(EdgeStreamClient sc, string name) =>
        await sc.CallAsync(c => c.ControlPlane.RevokeCertificateAsync(new RevokeCertificateRequest { Name = name }));

    private static Task<IssuedCertificate> IssueAsync(EdgeStreamClient sc, string name) =>
        sc.CallAsync(c => c.ControlPlane.IssueCertificateAsync(new IssueCertificateRequest { Name = name, Role = "admin" }));

    /// <summary>Of a program that has a certificate, over the network.</summary>
    private static async Task<EdgeStreamClient> ClientAsync(EdgeStreamClient sc, RunningNode node, string name)
    {
        IssuedCertificate issued = await IssueAsync(sc, name);
        return new EdgeStreamClient(new ClientOptions
        {
            Endpoint = node.Endpoint,
            Certificate = X509Certificate2.CreateFromPem(issued.CertificatePem, issued.KeyPem),
            Authority = X509Certificate2.CreateFromPem(issued.AuthorityPem),
        });
    }

    private static async Task AppendAsync(EdgeStreamClient client, string value)
    {
        await using Producer producer = await client.ProduceAsync("orders");
        await await producer.SendAsync(new Record(1, null, System.Text.Encoding.UTF8.GetBytes(value)));
    }
}
