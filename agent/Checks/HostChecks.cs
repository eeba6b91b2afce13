using System.Net;
using System.Net.Sockets;
using EdgeStream.Agent.Configuration;
using EdgeStream.Agent.Hosting;
using EdgeStream.Cluster;
using EdgeStream.Storage.Time;

namespace EdgeStream.Agent.Checks;

/// <summary>Whether a node with a configuration can work on this machine: its disk, its clock and its ports. Changes nothing.</summary>
internal static class HostChecks
{
    private const string ServiceUser = "edgestream";

    /// <param name="configuration">What is configured.</param>
    /// <param name="data">Its data directory.</param>
    /// <param name="socket">Its local socket.</param>
    /// <param name="stranger">Another kind of node that has the socket, for people; null where there is none.</param>
    /// <param name="network">Where its network API is to listen; null where that is not known.</param>
    public static IEnumerable<Finding> Run(AgentConfiguration configuration, string data, string socket, string? stranger, IPEndPoint? network)
    {
        bool runs = stranger is null && Answers(socket);
        if (Environment.IsPrivilegedProcess && UserExists(ServiceUser))
        {
            yield return new Finding(
                "user", Verdict.Warning, $"root may do everything, so rights were not checked; 'sudo -u {ServiceUser} edgestream check' sees what the service sees");
        }

        yield return CheckData(data);
        yield return CheckSpace(data, configuration.Budget);
        yield return CheckClock();
        yield return runs ? new Finding("socket", Verdict.Ok, $"a node answers on {socket}")
            : stranger is null ? CheckSocket(socket)
            : new Finding("socket", Verdict.Warning, $"{stranger} answers on {socket}, and this is the configuration of another node; choose its own with --socket");
        if (!runs)
        {
            foreach (IPEndPoint listen in configuration.MqttBrokers.SelectMany(broker => new[] { broker.Listen, broker.TlsListen }).OfType<IPEndPoint>())
                yield return CheckPort("MQTT broker", listen, Verdict.Warning, "stop that one, or choose another port in source.mqtt-broker.listen");

            if (network is not null)
                yield return CheckPort("network API", network, Verdict.Warning, "stop that one, or choose another port with --listen");

            if ((configuration.Http ?? HttpListen.Default).Endpoint is { } http)
                yield return CheckPort("HTTP", http, configuration.Http is null ? Verdict.Warning : Verdict.Problem, "choose another port in http.listen, or \"none\"");
        }
    }

    private static Finding CheckData(string data)
    {
        data = Path.GetFullPath(data);
        string existing = NearestDirectory(data);
        try
        {
            using (new FileStream(Path.Combine(existing, $".edgestream-check-{Guid.NewGuid():N}"), new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                Options = FileOptions.DeleteOnClose,
            }))
            {
                return new Finding("data", Verdict.Ok, existing == data ? $"'{data}' can be written" : $"'{data}' will be made");
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            string problem = error is UnauthorizedAccessException ? $"user {Environment.UserName} may not write to '{existing}'" : error.Message;
            return new Finding(
                "data", Verdict.Problem,
                $"'{data}' cannot be {(existing == data ? "written" : "made")}: {problem}; give that directory to the user (chown), or choose another with --data");
        }
    }

    private static Finding CheckSpace(string data, long? budget)
    {
        string existing = NearestDirectory(data);
        try
        {
            long free = StorageBudget.FreeBytes(existing);
            long possible = Directory.Exists(data) ? StorageBudget.PossibleBytes(data) : free;
            long needed = budget ?? StorageBudget.Minimum;
            string text = $"{Quantities.FormatBytes(free)} free";
            return possible >= needed
                ? new Finding("disk", Verdict.Ok, budget is null ? text : $"{text}, {Quantities.FormatBytes(needed)} to be used")
                : new Finding(
                    "disk", Verdict.Problem,
                    $"{text}, but a node needs {Quantities.FormatBytes(needed)}; free some space{(budget is null ? "" : ", or lower storage.budget")}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return new Finding("disk", Verdict.Warning, $"'{data}' cannot be measured: {error.Message}; run it as the service's user");
        }
    }

    private static Finding CheckClock() => SystemClock.Instance.Read().Synchronised
        ? new Finding("clock", Verdict.Ok, "set by a time server")
        : new Finding(
            "clock", Verdict.Warning,
            "nothing has set the clock in this boot; records are kept, and their times are put right once it is ('timedatectl set-ntp true')");

    private static Finding CheckSocket(string socket)
    {
        string directory = Path.GetDirectoryName(socket)!;
        return Directory.Exists(directory)
            ? new Finding("socket", Verdict.Ok, $"no node runs on {socket} yet")
            : new Finding("socket", Verdict.Warning, $"no node runs, and '{directory}' is made by the service only; by hand, choose another with --socket");
    }

    private static Finding CheckPort(string what, IPEndPoint endpoint, Verdict otherwise, string cure)
    {
        try
        {
            using var listener = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            listener.Bind(endpoint);
            return new Finding("port", Verdict.Ok, $"{endpoint} is free for {what}");
        }
        catch (SocketException error)
        {
            string problem = error.SocketErrorCode == SocketError.AddressAlreadyInUse ? "is in use by another program" : $"cannot be had: {error.Message}";
            return new Finding("port", otherwise, $"{endpoint} for {what} {problem}; {cure}");
        }
    }

    private static bool Answers(string socket)
    {
        try
        {
            using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            probe.Connect(new UnixDomainSocketEndPoint(socket));
            return true;
        }
        catch (Exception error) when (error is SocketException or ArgumentException)
        {
            return false;
        }
    }

    private static bool UserExists(string name)
    {
        try
        {
            return File.ReadLines("/etc/passwd").Any(line => line.StartsWith(name + ":", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>The directory, or the closest above it that exists.</summary>
    private static string NearestDirectory(string path)
    {
        path = Path.GetFullPath(path);
        while (!Directory.Exists(path))
            path = Path.GetDirectoryName(path) ?? "/";

        return path;
    }
}
