using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>What an operator sees of a geo-location, and what a name that nothing can have leads to.</summary>
public sealed class GeoLocationTests
{
    private static readonly string LongName = new('x', 300);

    [Fact]
    public async Task Show_tells_state_certificate_and_marks()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await Task.WhenAll(hub.StartAsync(), edge.StartAsync());
        await hub.CommandAsync("geo", "invite", "site-1");
        Assert.Contains("site-1, invited", await hub.CommandAsync("geo", "show", "site-1"), StringComparison.Ordinal);

        string records = directory.At("records");
        await File.WriteAllLinesAsync(records, ["a", "b", "c"], TestContext.Current.CancellationToken);
        await edge.CommandAsync("produce", Sites.Topic, "--file", records);
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{port}");
        using (var edgeClient = edge.Connect())
        using (var hubClient = hub.Connect())
            await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);

        string text = await hub.CommandAsync("geo", "show", "site-1");
        Assert.Contains("site-1, online", text, StringComparison.Ordinal);
        Assert.Contains(Sites.Topic, text, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(await hub.CommandAsync("geo", "show", "site-1", "-o", "json"));
        JsonElement row = Assert.Single(json.RootElement.EnumerateArray());
        Assert.Equal((Sites.Topic, 3, 3, 0), (row.GetProperty("topic").GetString(), Number("durable"), Number("end"), Number("behind")));
        TimeSpan life = row.GetProperty("certificate_until").GetDateTimeOffset() - row.GetProperty("joined").GetDateTimeOffset();
        Assert.Equal(90, life.TotalDays, 0.01);

        await RefusesAsync("there is no geo-location 'nobody'", "geo", "show", "nobody", "--socket", hub.Socket);

        int Number(string column) => row.GetProperty(column).GetInt32();
    }

    [Fact]
    public async Task Hub_tells_of_its_links_and_of_cards_that_it_has_refused()
    {
        using var directory = new TemporaryDirectory();
        int port = FreePort.Take();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, $"127.0.0.1:{port}");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, Sites.Plain);
        await Task.WhenAll(hub.StartAsync(), edge.StartAsync());
        string records = directory.At("records");
        await File.WriteAllLinesAsync(records, Enumerable.Range(0, 1000).Select(i => $"{{\"value\":{i}}}"), TestContext.Current.CancellationToken);
        await edge.CommandAsync("produce", Sites.Topic, "--file", records);
        await Sites.JoinAsync(edge, hub, $"127.0.0.1:{port}");
        using (var edgeClient = edge.Connect())
        using (var hubClient = hub.Connect())
            await Sites.WaitUntilMirroredAsync(edgeClient, hubClient);

        using (JsonDocument list = JsonDocument.Parse(await hub.CommandAsync("geo", "list", "-o", "json")))
        {
            JsonElement row = Assert.Single(list.RootElement.EnumerateArray());
            long batches = row.GetProperty("batch_bytes").GetInt64();
            Assert.True(batches > 10_000);
            Assert.InRange(row.GetProperty("wire_bytes").GetInt64(), 1, batches);
            Assert.Equal(JsonValueKind.Null, row.GetProperty("drained_in_seconds").ValueKind);
        }

        await hub.CommandAsync("geo", "revoke", "site-1");
        await Condition.WaitAsync("the hub says whom it has refused", () =>
            hub.CommandAsync("geo", "list").GetAwaiter().GetResult().Contains("was revoked", StringComparison.Ordinal));
        Assert.Contains("from 127.0.0.1", await hub.CommandAsync("geo", "show", "site-1"), StringComparison.Ordinal);
        Assert.Contains("was revoked", await hub.CommandAsync("status"), StringComparison.Ordinal);
        await hub.Process.WaitForLineAsync("site-1 was refused, from 127.0.0.1");
        using var http = new HttpClient();
        string metrics = await http.GetStringAsync(new Uri(await hub.HttpAsync(), "/metrics"), TestContext.Current.CancellationToken);
        Assert.Contains("edgestream_geo_location_refused{geo=\"site-1\"} 1", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Name_of_300_characters_is_refused_by_each_command_in_one_line()
    {
        using var directory = new TemporaryDirectory();
        using NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0");
        await hub.StartAsync();
        await hub.CommandAsync("topic", "create", "t");

        foreach (string[] arguments in (string[][])
        [
            ["geo", "invite", LongName], ["geo", "show", LongName], ["geo", "revoke", LongName],
            ["cert", "issue", LongName, "--role", "admin"],
            ["topic", "create", LongName], ["topic", "alter", LongName, "--retention-bytes", "1MiB"], ["topic", "delete", LongName],
            ["gaps", LongName], ["produce", LongName], ["consume", LongName], ["consume", "t", "--geo", LongName],
        ])
        {
            await RefusesAsync(", this one has 300", [.. arguments, "--socket", hub.Socket]);
        }
    }

    [Fact]
    public async Task Certificate_of_an_spu_is_made_where_the_authority_is_and_never_twice()
    {
        using var directory = new TemporaryDirectory();
        string data = directory.At("data"), output = directory.At("spu-2");
        await RefusesAsync($"there is no CA in '{Path.Combine(data, "ca")}'", "spu", "certificate", "2", "--data", data, "--out", output);
        Assert.False(Directory.Exists(data));

        using (NodeProcess hub = NodeProcess.Hub(directory.Path, "127.0.0.1:0"))
        {
            data = hub.Data;
            await hub.StartAsync();
        }

        (int exitCode, string text, string error) = await EdgeStreamProgram.RunAsync(
            ["spu", "certificate", "2", "--data", data, "--host", "spu2.example", "--host", "10.0.0.2", "--out", output]);
        Assert.Equal((0, ""), (exitCode, error));
        Assert.Contains($"spu.crt, spu.key and ca.crt of SPU 2 written to {output}", text, StringComparison.Ordinal);
        Assert.Contains("edgestream spu --config FILE --identity DIR", text, StringComparison.Ordinal);
        using var certificate = X509Certificate2.CreateFromPemFile(Path.Combine(output, "spu.crt"), Path.Combine(output, "spu.key"));
        Assert.Equal("O=EdgeStream, OU=spu, CN=spu-2", certificate.Subject);
        Assert.True(certificate.MatchesHostname("spu2.example") && certificate.MatchesHostname("10.0.0.2") && certificate.MatchesHostname("localhost"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(output, "spu.key")));

        await RefusesAsync("has a spu.key already, which was not touched", "spu", "certificate", "2", "--data", data, "--out", output);
        await RefusesAsync("id is a number of at least 0, not '-1'", "spu", "certificate", "--data", data, "--out", output, "--", "-1");
    }

    [Theory]
    [InlineData("1m")]
    [InlineData("11000d")]
    [InlineData("soon")]
    public Task Certificate_life_that_no_hub_can_have_is_refused(string life) =>
        RefusesAsync($"--certificate-life '{life}' is no time from 5m to 3650d", "hub", "--certificate-life", life);

    private static async Task RefusesAsync(string expected, params string[] arguments)
    {
        (int exitCode, _, string error) = await EdgeStreamProgram.RunAsync(arguments);
        Assert.Equal(1, exitCode);
        Assert.Contains(expected, error, StringComparison.Ordinal);
        Assert.Single(error.Trim().Split('\n'));
    }
}
