namespace EdgeStream.Devices;

/// <summary>What <see cref="SourceSupervisor"/> runs, and runs again after it failed. Made once.</summary>
public interface ISupervised
{
    /// <summary>What people call it, for instance <c>mqtt://localhost:1883</c>; unique on a node.</summary>
    string Name { get; }

    /// <summary>What it has counted; lives as long as the source or sink, across runs.</summary>
    SourceCounters Counters { get; }

    /// <summary>What of it does not work though it runs; null where all does. Safe from any thread.</summary>
    Shortfall? Shortfall => null;

    /// <summary>
    /// Runs until cancelled. On cancellation it takes nothing new, waits a moment for what is on its way, and returns. Any other end
    /// is an exception with a one-line message: the supervisor reports it and tries again later.
    /// </summary>
    /// <param name="running">To be called whenever it works (again): connected, lines open, listening.</param>
    /// <param name="cancellationToken">Ends the run.</param>
    Task RunAsync(Action running, CancellationToken cancellationToken);
}
