using System.CommandLine;
using EdgeStream.Agent.Configuration;
using EdgeStream.Protocol.V1;
using EdgeStream.Storage.Log;

namespace EdgeStream.Agent.Cli;

/// <summary>What <c>topic create</c> and <c>topic alter</c> can say of how a topic is kept.</summary>
internal sealed class TopicSettingOptions
{
    public Option<string?> RetentionBytes { get; } = new("--retention-bytes")
    {
        Description = "The most that a partition keeps, for instance 256MiB; 'none': up to the storage budget",
        HelpName = "size",
    };

    public Option<string?> RetentionAge { get; } = new("--retention-age")
    {
        Description = "How long records are kept, for instance 7d; 'none': for as long as there is room",
        HelpName = "time",
    };

    public Option<string?> Overflow { get; } = new("--overflow")
    {
        Description = "When there is no room: drop-oldest (the default; what the hub has goes first) or reject (sources wait)",
    };

    public Option<string?> Sync { get; } = new("--sync")
    {
        Description = "When to sync: commit (the default), an interval such as 1s to spare the card, or os (every 30s). Durable waits for it. Not on JetStream",
        HelpName = "policy",
    };

    public Option<string?> Compression { get; } = new("--compression") { Description = "How producers compress (default: none)" };

    public Option<string?> TimeToLive { get; } = new("--ttl")
    {
        Description = "Of a topic that flows down: how long a record counts, for instance 10m; 'none': for ever",
        HelpName = "time",
    };

    public TopicSettingOptions()
    {
        Overflow.AcceptOnlyFromAmong("drop-oldest", "reject");
        Compression.AcceptOnlyFromAmong("none", "gzip", "snappy", "lz4", "zstd");
    }

    public void AddTo(Command command)
    {
        foreach (Option option in (Option[])[RetentionBytes, RetentionAge, Overflow, Sync, Compression, TimeToLive])
            command.Options.Add(option);
    }

    /// <summary>What was said; what was not is absent.</summary>
    /// <exception cref="CommandException">A value cannot be read.</exception>
    public AlterTopicRequest Read(ParseResult result)
    {
        var request = new AlterTopicRequest();
        if (result.GetValue(RetentionBytes) is { } bytes)
            request.RetentionBytes = ReadBytes(bytes);

        if (result.GetValue(RetentionAge) is { } age)
            request.RetentionAgeMs = ReadAge(age);

        if (result.GetValue(Overflow) is { } overflow)
            request.Overflow = overflow == "reject" ? Protocol.V1.Overflow.Reject : Protocol.V1.Overflow.DropOldest;

        if (result.GetValue(Sync) is { } sync)
            request.SyncIntervalMs = ReadSync(sync);

        if (result.GetValue(Compression) is { } compression)
            request.Compression = compression;

        if (result.GetValue(TimeToLive) is { } timeToLive)
            request.TimeToLiveMs = ReadTimeToLive(timeToLive);

        return request;
    }

    private static long ReadBytes(string text)
    {
        if (text == "none")
            return 0;

        return Quantities.TryParseBytes(text, out long bytes)
            ? bytes
            : throw new CommandException($"--retention-bytes '{text}' is no size; write for instance 256MiB, or none");
    }

    private static long ReadAge(string text)
    {
        if (text == "none")
            return 0;

        return Quantities.TryParseTime(text, out TimeSpan age)
            ? (long)age.TotalMilliseconds
            : throw new CommandException($"--retention-age '{text}' is no time; write for instance 12h or 7d, or none");
    }

    private static long ReadTimeToLive(string text)
    {
        if (text == "none")
            return 0;

        return Quantities.TryParseTime(text, out TimeSpan life) && life >= TimeSpan.FromMilliseconds(1)
            ? (long)life.TotalMilliseconds
            : throw new CommandException($"--ttl '{text}' is no time; write for instance 30s or 10m, or none");
    }

    private static long ReadSync(string text) => Quantities.TryParseSync(text, out SyncPolicy sync)
        ? (long)sync.Interval.TotalMilliseconds
        : throw new CommandException($"--sync '{text}' is neither commit nor os nor an interval of 1ms to 1h such as 1s");
}
