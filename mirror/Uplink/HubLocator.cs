using System.Runtime.ExceptionServices;
using EdgeStream.Mirror.Enrolment;
using Grpc.Core;
using Grpc.Net.Client;

namespace EdgeStream.Mirror.Uplink;

/// <summary>A connection to the one that serves this edge; its owner's to dispose.</summary>
/// <param name="Channel">Open until this is disposed.</param>
/// <param name="Address">Where it goes.</param>
/// <param name="WasSent">Another address was asked, and has answered that this one serves the edge.</param>
internal sealed record HubConnection(GrpcChannel Channel, Uri Address, bool WasSent) : IDisposable
{
    public void Dispose() => Channel.Dispose();
}

/// <summary>
/// Finds the SPU that serves this edge, and whoever else of the cluster is needed. A hub on one machine, or one that cannot be asked because
/// it is older, serves itself. There is one connection at a time. For one caller at a time, but for <see cref="AskAnyAsync"/>.
/// </summary>
/// <param name="identity">Who asks.</param>
/// <param name="endpoints">Whom it can ask.</param>
/// <param name="options">How long to wait for an answer.</param>
/// <param name="meter">Counts what goes over the connections.</param>
/// <param name="time">Measures how long an answer takes.</param>
internal sealed class HubLocator(EdgeIdentity identity, HubEndpoints endpoints, UplinkOptions options, WireMeter meter, TimeProvider time)
{
    // Where somebody else can be asked, no longer than a connection may take.
    private static readonly TimeSpan Patience = HubChannel.ConnectTimeout;

    /// <summary>Connects to the one that serves this edge, by the first address that knows.</summary>
    /// <exception cref="RpcException">The hub refuses this edge, or none of the addresses can be reached: that of the first.</exception>
    /// <exception cref="TimeoutException">It does not answer.</exception>
    public async Task<HubConnection> ConnectAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<Uri> addresses = endpoints.All;
        ExceptionDispatchInfo? failure = null;
        foreach (Uri address in addresses)
        {
            GrpcChannel channel = Open(address);
            try
            {
                V1.LocateResponse? located = await LocateAsync(channel, addresses.Count > 1, cancellationToken).ConfigureAwait(false);
                endpoints.Worked(address);
                Uri home = located is { Endpoint.Length: > 0 } ? HubAddress.Parse(located.Endpoint) : address;
                if (located is not null)
                    endpoints.Learn(located.Endpoints);

                if (home.Authority == address.Authority)
                    return new HubConnection(channel, address, WasSent: false);

                channel.Dispose();
                return new HubConnection(Open(home), home, WasSent: true);
            }
            catch (Exception error)
            {
                channel.Dispose();
                if (cancellationToken.IsCancellationRequested || !IsOfThisAddressOnly(error))
                    throw;

                failure ??= ExceptionDispatchInfo.Capture(error);
            }
        }

        failure!.Throw();
        throw failure.SourceException;
    }

    /// <summary>Asks one address after the other, each over a connection of its own, until one knows what is asked.</summary>
    /// <param name="ask">What to ask; fails with <see cref="StatusCode.Unimplemented"/> where it is not known.</param>
    /// <param name="except">An address that has been asked already; null for none.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="RpcException">
    /// <see cref="StatusCode.Unimplemented"/> where all of them can be reached and do not know it; otherwise what the first one said, or why it
    /// cannot be reached.
    /// </exception>
    public async Task<T> AskAnyAsync<T>(Func<GrpcChannel, Task<T>> ask, Uri? except, CancellationToken cancellationToken)
    {
        ExceptionDispatchInfo? failure = null;
        foreach (Uri address in endpoints.All.Where(address => address.Authority != except?.Authority))
        {
            using GrpcChannel channel = Open(address);
            try
            {
                return await ask(channel).ConfigureAwait(false);
            }
            catch (RpcException unknown) when (unknown.StatusCode == StatusCode.Unimplemented)
            {
            }
            catch (Exception error) when (!cancellationToken.IsCancellationRequested && IsOfThisAddressOnly(error))
            {
                failure ??= ExceptionDispatchInfo.Capture(error);
            }
        }

        failure?.Throw();
        throw new RpcException(new Status(StatusCode.Unimplemented, "none of the hub's addresses that are known serves it"));
    }

    private GrpcChannel Open(Uri address) => HubChannel.Open(identity, address, options.KeepAlive, meter);

    /// <returns>Null where the hub is too old to be asked.</returns>
    private async Task<V1.LocateResponse?> LocateAsync(GrpcChannel channel, bool hasOthers, CancellationToken cancellationToken)
    {
        TimeSpan patience = hasOthers && Patience < options.ProgressTimeout ? Patience : options.ProgressTimeout;

        // Not a deadline, which is a time of day: the clock may be set meanwhile.
        using var timeout = new CancellationTokenSource(patience, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        try
        {
            return await new V1.Mirror.MirrorClient(channel).LocateAsync(new V1.LocateRequest(), cancellationToken: stop.Token).ConfigureAwait(false);
        }
        catch (RpcException) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"the hub has taken the connection but said nothing for {patience.TotalSeconds:0} s; is it frozen?");
        }
        catch (RpcException old) when (old.StatusCode == StatusCode.Unimplemented)
        {
            return null;
        }
    }

    /// <summary>Whether another address may do what this one does not: it cannot be reached, or stands by.</summary>
    private static bool IsOfThisAddressOnly(Exception error) => UplinkErrors.CodeOf(error) is null or ErrorCode.Unavailable;
}
