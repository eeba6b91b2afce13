using EdgeStream.Cluster.Topology;

namespace EdgeStream.Cluster.Controller;

/// <summary>An SPU that has registered with this SC, and how it is. Its registry guards it.</summary>
public sealed class RegisteredSpu
{
    private readonly TaskCompletionSource _replaced = new(TaskCreationOptions.RunContinuationsAsynchronously);

    internal RegisteredSpu(SpuInfo info, string instance, string version, long now) =>
        (Info, Instance, Version, LastReport, Since) = (info, instance, version, now, now);

    public SpuInfo Info { get; }

    /// <summary>Tells one process from the next with the same id.</summary>
    public string Instance { get; }

    public string Version { get; }

    /// <summary>Completes when another stream of the same SPU has taken the place of this one.</summary>
    public Task Replaced => _replaced.Task;

    /// <summary>The NATS server that it is connected to; null where that is not known.</summary>
    internal string? NatsServer { get; set; }

    /// <summary>Since when it has been connected to none, though it was before; a timestamp, null while it is or has never been.</summary>
    internal long? WithoutNatsSince { get; set; }

    /// <summary>What is wrong with it, as it says itself, in one line; empty while nothing is.</summary>
    internal string Problem { get; set; } = "";

    /// <summary>Where another process with its identity is, and when that was refused last, a timestamp; null where there was none.</summary>
    internal (string Endpoints, long At)? Contested { get; set; }

    /// <summary>Partitions that it cannot open because somebody has led them with later epochs than it was told.</summary>
    internal IReadOnlyList<OvertakenPartition> Overtaken { get; set; } = [];

    /// <summary>When it last reported, and since when it has without a pause; timestamps.</summary>
    internal long LastReport { get; set; }

    internal long Since { get; set; }

    /// <summary>Of the newest topology that it serves.</summary>
    internal long Applied { get; set; }

    /// <summary>It is about to stop: it gets nothing more, and others get what it has.</summary>
    internal bool IsLeaving { get; set; }

    /// <summary>When its stream has ended, a timestamp; null while it has not.</summary>
    internal long? LeftAt { get; private set; }

    /// <summary>Its stream has ended: another process may register with its id.</summary>
    internal bool HasLeft => LeftAt is not null;

    internal void Leave(long now) => LeftAt ??= now;

    internal void Replace(long now)
    {
        Leave(now);
        _replaced.TrySetResult();
    }
}
