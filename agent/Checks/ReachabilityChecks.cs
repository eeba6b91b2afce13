using System.Net.Sockets;
using EdgeStream.Agent.Configuration;
using EdgeStream.Devices.Mqtt;
using EdgeStream.Mirror;
using EdgeStream.Mirror.Enrolment;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Checks;

/// <summary>
/// Whether those whom this node connects to are there: brokers are asked to let it in, hubs whether they listen. All are asked at once.
/// None of it keeps a node from starting: who cannot be reached now is tried again for ever.
/// </summary>
internal static class ReachabilityChecks
{
    private const int DefaultNatsPort = 4222;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <param name="configuration">What is configured.</param>
    /// <param name="data">Its data directory.</param>
    /// <param name="isEdge">Whether it is an edge, which may have joined hubs.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static async Task<IReadOnlyList<Finding>> RunAsync(
        AgentConfiguration configuration, string data, bool isEdge, CancellationToken cancellationToken)
    {
        IEnumerable<MqttBrokerOptions> all = [.. configuration.MqttSources, .. configuration.MqttSinks, .. configuration.HomeAssistant?.Sinks ?? []];
        IEnumerable<Task<Finding>> brokers = all
            .DistinctBy(broker => (broker.Broker, broker.Username, broker.Password, broker.CaFile, broker.CertFile))
            .Select(broker => CheckBrokerAsync(broker, cancellationToken));
        return [.. await Task.WhenAll([.. brokers, .. isEdge ? CheckHubs(data, cancellationToken) : []]).ConfigureAwait(false)];
    }

    /// <summary>Whether somebody listens at an address.</summary>
    /// <param name="subject">What that is.</param>
    /// <param name="address">https, nats or tls.</param>
    /// <param name="advice">What to do, or what it means, where nobody does.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public static Task<Finding> CheckAsync(string subject, Uri address, string advice, CancellationToken cancellationToken) =>
        CheckAsync(subject, address.Host.Trim('[', ']'), address.Port > 0 ? address.Port : DefaultNatsPort, advice, cancellationToken);

    private static async Task<Finding> CheckBrokerAsync(MqttBrokerOptions broker, CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(Patience);
        try
        {
            string? problem = await MqttProbe.FindProblemAsync(broker, TimeProvider.System, timeout.Token).ConfigureAwait(false);
            if (problem is null)
                return new Finding("MQTT broker", Verdict.Ok, $"{broker.Address} lets this node in");

            // What is behind a semicolon is the cure already.
            bool hasCure = problem.Contains(';', StringComparison.Ordinal);
            return new Finding("MQTT broker", Verdict.Warning, hasCure ? problem : $"{problem}; is it running, and the address right?");
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new Finding("MQTT broker", Verdict.Warning, $"{broker.Address} does not answer within {Patience.TotalSeconds:0} s; does it speak MQTT, with or without TLS?");
        }
    }

    private static IReadOnlyList<Task<Finding>> CheckHubs(string data, CancellationToken cancellationToken)
    {
        try
        {
            IReadOnlyList<string> joined = EdgeIdentity.List(data);
            return joined.Count == 0
                ? [Task.FromResult(new Finding("hub", Verdict.Ok, "none; 'edgestream join HUB --token TOKEN' makes this edge a geo-location of one"))]
                : [.. joined.SelectMany(id => CheckHub(data, id, cancellationToken))];
        }
        catch (EdgeStreamException error)
        {
            return [Task.FromResult(new Finding("hub", Verdict.Warning, error.Message))];
        }
    }

    private static IReadOnlyList<Task<Finding>> CheckHub(string data, string id, CancellationToken cancellationToken)
    {
        try
        {
            using EdgeIdentity? identity = EdgeIdentity.Load(data, id);
            return identity is null
                ? [Task.FromResult(new Finding("hub", Verdict.Ok, "left just now"))]
                : [.. HubAddress.ParseAll(identity.Hub).Select(hub =>
                    CheckAsync("hub", hub.Host.Trim('[', ']'), hub.Port, "records are kept and sent later", cancellationToken))];
        }
        catch (EdgeStreamException error)
        {
            return [Task.FromResult(new Finding("hub", Verdict.Warning, error.Message))];
        }
    }

    private static async Task<Finding> CheckAsync(string subject, string host, int port, string advice, CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(Patience);
        string problem;
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync(host, port, timeout.Token).ConfigureAwait(false);
            return new Finding(subject, Verdict.Ok, $"{host}:{port} listens");
        }
        catch (SocketException error)
        {
            problem = error.Message;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            problem = $"no answer within {Patience.TotalSeconds:0} s";
        }

        return new Finding(subject, Verdict.Warning, $"{host}:{port} cannot be reached: {problem}; {advice}");
    }
}
