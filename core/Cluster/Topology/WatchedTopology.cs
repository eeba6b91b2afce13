namespace EdgeStream.Cluster.Topology;

/// <summary>The topology that a node publishes, and what wakes who waits for another. Safe from any thread.</summary>
public sealed class WatchedTopology(TopologyMap first)
{
    private TopologyMap _current = first;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public TopologyMap Current => Volatile.Read(ref _current);

    /// <inheritdoc cref="IClusterView.WaitForChangeAsync"/>
    public async Task WaitForChangeAsync(TopologyMap known, CancellationToken cancellationToken)
    {
        Task changed = Volatile.Read(ref _changed).Task;
        if (ReferenceEquals(Current, known))
            await changed.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    public void Publish(TopologyMap next)
    {
        Volatile.Write(ref _current, next);
        Wake();
    }

    /// <summary>Wakes who waits, though nothing in it is another.</summary>
    public void Touch()
    {
        TopologyMap known = Current;

        // One that has come meanwhile has woken them.
        if (ReferenceEquals(Interlocked.CompareExchange(ref _current, known with { }, known), known))
            Wake();
    }

    private void Wake() =>
        Interlocked.Exchange(ref _changed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();
}
