using System.Runtime.InteropServices;

namespace EdgeStream.Agent.Hosting;

/// <summary>
/// SIGTERM and SIGINT, turned into a token from the first moment on: a node stops in order, however long that takes, even where it
/// was told so while it started.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    // Never disposed: a signal may be on its way when the node has ended, and there is nothing to release.
    private readonly CancellationTokenSource _told = new();
    private readonly PosixSignalRegistration[] _registrations;

    public StopSignals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop),
        PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop),
    ];

    public CancellationToken Token => _told.Token;

    /// <summary>Runs a node until it is told to stop. That it was told before it ran is no error.</summary>
    public static async Task RunAsync(Func<CancellationToken, Task> node)
    {
        using var signals = new StopSignals();
        try
        {
            await node(signals.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (signals.Token.IsCancellationRequested)
        {
            // Nothing ran yet that had to be stopped.
        }
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
    }

    private void Stop(PosixSignalContext context)
    {
        // The system ends it at the second one: what hangs must not need SIGKILL.
        context.Cancel = !_told.IsCancellationRequested;
        _told.Cancel();
    }
}
