namespace EdgeStream.Harness.Cluster;

/// <summary>One of the processes of a cluster, and what can be done to it.</summary>
/// <param name="name">Its name: n1, sc1, spu1, edge1.</param>
/// <param name="process">It as it runs.</param>
/// <param name="start">Starts it and waits until it serves.</param>
/// <param name="cut">Cuts its network, or mends it; null where it has no network of its own.</param>
public sealed class ClusterMember(string name, Func<ChildProcess> process, Func<Task> start, Action<bool>? cut)
{
    public string Name => name;

    public ChildProcess Process => process();

    /// <summary>Starts it, for the first time or again, and waits until it serves.</summary>
    public Task StartAsync() => start();

    /// <summary>SIGKILL: its connections are reset.</summary>
    public void Kill() => Process.Kill();

    /// <summary>SIGTERM, and waits for its end.</summary>
    /// <exception cref="InvalidOperationException">It did not end well.</exception>
    public async Task StopAsync()
    {
        int code = await Process.StopAsync().ConfigureAwait(false);

        // What nats-server says when it was asked to end.
        if (code is not 0 and not 1)
            throw new InvalidOperationException($"{name} ended with {code} on SIGTERM:\n{Process.Output}");
    }

    /// <summary>As a machine that hangs: connections stay, and nobody answers.</summary>
    public void Freeze() => Process.Signal("STOP");

    public void Thaw() => Process.Signal("CONT");

    /// <summary>What it sends and what is sent to it vanishes, and nobody is told.</summary>
    public void CutNetwork() => Link(true);

    public void MendNetwork() => Link(false);

    private void Link(bool isCut) =>
        (cut ?? throw new InvalidOperationException($"{name} is on this machine's loopback, which cannot be cut; have a network for the cluster"))(isCut);
}
