using System.Text.Json;
using EdgeStream.Harness;

namespace EdgeStream.EndToEnd.Tests;

/// <summary>Sensors that speak through files and programs, with the program as it is shipped.</summary>
public sealed class DeviceFilesTests
{
    [Fact(Timeout = 120_000)]
    public async Task Files_and_programs_are_stored_and_what_goes_wrong_with_them_is_told()
    {
        using var directory = new TemporaryDirectory();
        WriteSensor(directory, "28-01", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n");
        WriteSensor(directory, "28-02", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=-1500\n");
        using NodeProcess edge = NodeProcess.Edge(directory.Path, $$"""
            [[source.sysfs]]
            path = "{{directory.Path}}/devices/28-*/w1_slave"
            topic = "temperatures"
            scale = 0.001
            unit = "°C"
            every = "200ms"
            change = 0.1

            [[source.command]]
            command = ["/bin/sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; done; exec sleep 1000"]
            topic = "lines"
            key = "counter"
            rate-limit = "4/h"

            [[source.command]]
            command = ["no-such-meter"]
            topic = "lines"

            [[source.gpio]]
            chip = 99
            line = "GPIO17"
            topic = "door"
            """);
        await edge.StartAsync();

        await HoldsAsync(edge, "temperatures", $$"""{{directory.Path}}/devices/28-01/w1_slave {"value":23.125,"unit":"°C"}""");
        await HoldsAsync(edge, "temperatures", $$"""{{directory.Path}}/devices/28-02/w1_slave {"value":-1.5,"unit":"°C"}""");
        await HoldsAsync(edge, "lines", "counter 4");
        Assert.Equal(4, (await LinesAsync(edge, "lines")).Length);

        // The rest runs, and each says what is wrong.
        Directory.Delete(directory.At("devices/28-02"), recursive: true);
        WriteSensor(directory, "28-01", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=30000\n");
        await HoldsAsync(edge, "temperatures", $$"""{{directory.Path}}/devices/28-01/w1_slave {"value":30,"unit":"°C"}""");
        await Condition.WaitAsync(
            () => $"the file that is gone is told:\n{edge.Process.Output}",
            async () => (await SourceAsync(edge, "sysfs")).GetProperty("dropped_for").GetString()?.StartsWith("not-readable ", StringComparison.Ordinal) == true);
        JsonElement sysfs = await SourceAsync(edge, "sysfs");
        Assert.Equal("running", sysfs.GetProperty("state").GetString());
        Assert.Equal("1 of 2 files", sysfs.GetProperty("extent").GetString());
        Assert.Contains("28-02/w1_slave' is not there", sysfs.GetProperty("last_error").GetString(), StringComparison.Ordinal);
        Assert.Equal(JsonValueKind.Null, sysfs.GetProperty("last_error_age_ms").ValueKind);
        string status = await edge.CommandAsync("status");
        Assert.Matches("  ! source sysfs .*: '.*28-02/w1_slave' is not there", status);
        Assert.Contains("running, 1 of 2 files", status, StringComparison.Ordinal);

        JsonElement lines = await SourceAsync(edge, "command sh");
        Assert.Equal((6, 4, "rate-limit 2"), (lines.GetProperty("received").GetInt32(), lines.GetProperty("stored").GetInt32(), lines.GetProperty("dropped_for").GetString()));
        Assert.Equal(
            ("waiting", "there is no program 'no-such-meter'; give its whole path, or install it"),
            await StateAsync(edge, "command no-such-meter"));
        Assert.Equal(
            ("waiting", "there is no /dev/gpiochip99; 'gpiodetect' lists the chips, and chip = \"simulated\" needs none"),
            await StateAsync(edge, "gpio gpiochip99/GPIO17"));

        using var http = new HttpClient { BaseAddress = await edge.HttpAsync() };
        Assert.Contains(
            "edgestream_source_dropped_total{source=\"command sh for lines\",reason=\"rate-limit\"} 2\n",
            await http.GetStringAsync("/metrics", TestContext.Current.CancellationToken),
            StringComparison.Ordinal);

        WriteSensor(directory, "28-02", "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=12000\n");
        await HoldsAsync(edge, "temperatures", $$"""{{directory.Path}}/devices/28-02/w1_slave {"value":12,"unit":"°C"}""");
        await Condition.WaitAsync(
            () => "the file that is back is no problem any more",
            async () => (await SourceAsync(edge, "sysfs")).GetProperty("extent").ValueKind == JsonValueKind.Null);
        status = await edge.CommandAsync("status");
        Assert.DoesNotContain("! source sysfs", status, StringComparison.Ordinal);
        Assert.Matches(@"running .* \ds ago: '.*28-02/w1_slave' is not there", status);
        Assert.Equal(0, await edge.Process.StopAsync());
    }

    private static void WriteSensor(TemporaryDirectory directory, string name, string text)
    {
        string path = directory.At($"devices/{name}/w1_slave");
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path + ".new", text);
        File.Move(path + ".new", path, overwrite: true);
    }

    private static async Task HoldsAsync(NodeProcess edge, string topic, string line) => await Condition.WaitAsync(
        () => $"{topic} holds {line}\n{edge.Process.Output}",
        async () => (await LinesAsync(edge, topic)).Contains(line));

    private static async Task<string[]> LinesAsync(NodeProcess edge, string topic) =>
        [.. (await edge.CommandAsync("consume", topic, "-B", "-d", "-k")).Split('\n').Select(line => line.Replace('\t', ' '))];

    private static async Task<(string? State, string? Error)> StateAsync(NodeProcess edge, string source)
    {
        JsonElement found = await SourceAsync(edge, source);
        return (found.GetProperty("state").GetString(), found.GetProperty("last_error").GetString());
    }

    private static async Task<JsonElement> SourceAsync(NodeProcess edge, string source) =>
        JsonDocument.Parse(await edge.CommandAsync("status", "-o", "json")).RootElement[0].GetProperty("sources").EnumerateArray()
            .Single(row => row.GetProperty("source").GetString()!.StartsWith(source, StringComparison.Ordinal));
}
