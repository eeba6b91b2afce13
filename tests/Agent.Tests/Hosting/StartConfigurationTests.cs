using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Harness;
using Microsoft.Extensions.Logging.Abstractions;

namespace EdgeStream.Agent.Tests.Hosting;

/// <summary>What an edge starts with where its configuration has a mistake.</summary>
public sealed class StartConfigurationTests : IDisposable
{
    private const string Door = "[[source.gpio]]\nline = 17\ntopic = \"door\"\n";

    private readonly TemporaryDirectory _directory = new();

    private string Main => _directory.At("edgestream.toml");

    private string Data => _directory.At("data");

    private string Copy => Path.Combine(Data, "last-good", "configuration.tar");

    public StartConfigurationTests() => Directory.CreateDirectory(Data);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Good_configuration_is_what_stands_in_the_files()
    {
        WriteMain(Door);
        DropIn("10-topic.toml", "[[topic]]\nname = \"window\"\n");
        StartConfiguration start = StartConfiguration.Load(Main, Data);
        Assert.Null(start.Problem);
        Assert.Equal("window", Assert.Single(start.Configuration.Topics).Name);
        Assert.Equal([Main, _directory.At("edgestream.d/10-topic.toml")], start.Files.Select(file => file.Path));
    }

    [Theory]
    [InlineData("bad.toml", "[[source.gpio]]\nline = \"17x\"\ntopic = 5\n", ":3: source.gpio.topic: must be a string in quotes")]
    [InlineData("bad.toml", Door, ":2: source.gpio.line: line 17 of gpiochip0 is wanted by the source for topic 'door' in ")]
    [InlineData("../edgestream.toml", "nonsense", ":1: ")]
    public void Mistake_leaves_in_force_what_the_node_ran_with(string name, string text, string problem)
    {
        WriteMain(Door);
        DropIn("10-window.toml", "[[source.gpio]]\nline = 18\ntopic = \"window\"\n");
        RunOnce();
        string path = Path.GetFullPath(DropIn(name, text));

        StartConfiguration start = StartConfiguration.Load(Main, Data);
        Assert.Equal(["door", "window"], start.Configuration.GpioLines.Select(line => line.Line.Topic));
        Assert.StartsWith($"the configuration is not in force, the last good one goes on: {path}{problem}", start.Problem, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', start.Problem!);

        // What is not in the files is not kept as if it were.
        Assert.Empty(start.Files);
    }

    [Theory]
    [InlineData("../edgestream.toml", "")]
    [InlineData("../edgestream.toml", " \n")]
    [InlineData("10-window.toml", "")]
    public void File_that_a_power_cut_has_emptied_is_a_mistake(string name, string rest)
    {
        WriteMain(Door);
        DropIn("10-window.toml", "[[source.gpio]]\nline = 18\ntopic = \"window\"\n");
        RunOnce();
        string path = Path.GetFullPath(DropIn(name, rest));

        StartConfiguration start = StartConfiguration.Load(Main, Data);
        Assert.Equal(["door", "window"], start.Configuration.GpioLines.Select(line => line.Line.Topic));
        Assert.StartsWith($"the configuration is not in force, the last good one goes on: {path}: is empty", start.Problem, StringComparison.Ordinal);

        DropIn(name, "# nothing\n");
        Assert.Null(StartConfiguration.Load(Main, Data).Problem);
    }

    [Fact]
    public void Copy_in_which_a_bit_has_flipped_is_none()
    {
        WriteMain(Door);
        RunOnce();
        byte[] copy = File.ReadAllBytes(Copy);
        int line = copy.AsSpan().IndexOf("17"u8);
        copy[line] ^= 1;
        File.WriteAllBytes(Copy, copy);
        Assert.Null(LastGoodConfiguration.TryRead(Data));
    }

    [Fact]
    public void Without_a_copy_the_drop_ins_that_are_wrong_are_left_out_as_a_whole()
    {
        WriteMain(Door);
        string type = DropIn("10-type.toml", "[[topic]]\nname = \"lost\"\n[[source.gpio]]\nline = false\n");
        DropIn("20-window.toml", "[[source.gpio]]\nline = 18\ntopic = \"window\"\n");
        string twice = DropIn("30-twice.toml", "[[source.gpio]]\nline = 17\ntopic = \"again\"\n");

        StartConfiguration start = StartConfiguration.Load(Main, Data);
        Assert.Equal(["door", "window"], start.Configuration.GpioLines.Select(line => line.Line.Topic));
        Assert.Empty(start.Configuration.Topics);
        Assert.Contains($"'{type}' is left out: {type}:4: source.gpio.line: ", start.Problem, StringComparison.Ordinal);
        Assert.Contains($"'{twice}' is left out: {twice}:2: source.gpio.line: line 17 ", start.Problem, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_copy_what_needs_a_file_that_is_left_out_is_left_out_with_it()
    {
        WriteMain(Door);
        DropIn("10-sink.toml", "[[sink.mqtt]]\nbroker = \"embedded\"\ntopic = \"door\"\npublish = \"door\"\n");
        DropIn("20-broker.toml", "[[source.mqtt-broker]]\nlisten = 1883\n");
        StartConfiguration start = StartConfiguration.Load(Main, Data);
        Assert.Single(start.Configuration.GpioLines);
        Assert.Empty(start.Configuration.EmbeddedSinks);
    }

    [Fact]
    public void Main_file_that_is_wrong_is_an_error_where_nothing_has_run_yet()
    {
        WriteMain("budgt = 1");
        DropIn("10-door.toml", Door);
        Assert.StartsWith(
            $"{Main}:1: budgt: there is no such key", Assert.Throws<ConfigurationException>(() => StartConfiguration.Load(Main, Data)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Copy_that_cannot_be_used_counts_as_none()
    {
        WriteMain(Door);
        RunOnce();
        DropIn("10-bad.toml", "nonsense");
        foreach (byte[] damage in (byte[][])[[], [1, 2, 3], new byte[10_240]])
        {
            File.WriteAllBytes(Copy, damage);
            Assert.Contains("10-bad.toml' is left out", StartConfiguration.Load(Main, Data).Problem, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("data = \"{0}\"\n", "budgt = 1\n")]
    [InlineData("# mine\n  data='{0}' # the other disk\n", "[topic\n")]
    [InlineData("socket = 5\ndata = \"{0}\"\n", "")]
    public void Broken_file_that_names_the_data_directory_is_followed_there(string named, string rest)
    {
        WriteMain($"data = \"{Data}\"\n{Door}");
        RunOnce();
        WriteMain(string.Format(null, named, Data) + rest + "budgt = 1\n");
        StartConfiguration start = StartConfiguration.Load(Main, null);
        Assert.Equal(Data, start.Configuration.Data);
        Assert.Single(start.Configuration.GpioLines);
    }

    [Fact]
    public void Drop_in_that_is_left_out_names_the_data_directory_all_the_same()
    {
        WriteMain(Door);
        DropIn("10-data.toml", $"data = \"{Data}\"\nbudgt = 1\n");
        Assert.Equal(Data, StartConfiguration.Load(Main, null).Configuration.Data);
        Assert.Equal("/given", StartConfiguration.Load(Main, "/given").Configuration.Data);
    }

    [Fact]
    public void What_is_no_setting_of_the_top_names_no_data_directory()
    {
        WriteMain("# data = \"/a\"\nbudgt = 1\n  [home-assistant]\ndata = \"/b\"\n");
        Assert.Equal([NodePaths.Data(null)], StartConfiguration.DataDirectories(Main, null));
    }

    [Fact]
    public void Copy_is_for_its_owner_only_and_written_where_it_differs()
    {
        var before = new DateTime(2001, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        WriteMain(Door);
        DropIn("10-broker.toml", "[[source.mqtt]]\nbroker = \"mqtt://h\"\nusername = \"u\"\npassword = \"secret\"\nsubscribe = [{ filter = \"a\", topic = \"t\" }]\n");
        RunOnce();
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Copy));
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Path.GetDirectoryName(Copy)!));

        File.SetLastWriteTimeUtc(Copy, before);
        RunOnce();
        Assert.Equal(before, File.GetLastWriteTimeUtc(Copy));

        File.Delete(_directory.At("edgestream.d/10-broker.toml"));
        RunOnce();
        Assert.NotEqual(before, File.GetLastWriteTimeUtc(Copy));
        Assert.Equal(["edgestream.toml"], LastGoodConfiguration.TryRead(Data)!.Select(file => Path.GetFileName(file.Path)));
    }

    [Fact]
    public void Copy_that_cannot_be_kept_is_no_failure()
    {
        WriteMain(Door);
        File.WriteAllText(Path.Combine(Data, "last-good"), "in the way");
        RunOnce();
        Assert.Null(LastGoodConfiguration.TryRead(Data));
    }

    /// <summary>What a node does with its configuration once it runs.</summary>
    private void RunOnce() => new LastGoodConfiguration(Data, NullLogger.Instance).Keep(StartConfiguration.Load(Main, Data).Files);

    private void WriteMain(string text) => File.WriteAllText(Main, text);

    private string DropIn(string name, string text)
    {
        string path = _directory.At($"edgestream.d/{name}");
        Directory.CreateDirectory(_directory.At("edgestream.d"));
        File.WriteAllText(path, text);
        return path;
    }
}
