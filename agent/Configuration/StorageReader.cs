using EdgeStream.Cluster;
using EdgeStream.Cluster.Controller;
using EdgeStream.Cluster.Nats;
using EdgeStream.Storage;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[storage]</c>: how much disk there is, and at a hub where the records are kept.</summary>
internal static class StorageReader
{
    private enum Engine
    {
        Log,
        JetStream,
    }

    // What only says how the servers are reached.
    private static readonly string[] AccessKeys = ["nats", "credentials", "user", "password", "ca-file", "cert-file", "key-file", "replicas"];

    private static readonly Dictionary<string, Engine> Engines = new() { ["log"] = Engine.Log, ["jetstream"] = Engine.JetStream };

    public static (long? Budget, JetStreamOptions? JetStream) Read(TomlSection section)
    {
        long? budget = section.Bytes("budget");
        try
        {
            if (budget is { } bytes)
                StorageBudget.CheckMinimum(bytes);
        }
        catch (EdgeStreamException problem)
        {
            throw section.Error("budget", problem.Message);
        }

        JetStreamOptions? jetStream = null;
        if (section.Choice("engine", Engines) == Engine.JetStream)
            jetStream = ReadJetStream(section);
        else if (AccessKeys.FirstOrDefault(section.Has) is { } key)
            throw section.Error(key, "is for engine = \"jetstream\"");

        section.Done();
        return (budget, jetStream);
    }

    private static JetStreamOptions ReadJetStream(TomlSection section)
    {
        if (!JetStreamSupport.IsSupported)
            throw section.Error("engine", "\"jetstream\" is not in this build, which is made for devices; the package edgestream-hub has it ('make deb-hub')");

        if (!section.Has("nats") || section.Strings("nats") is not { Count: > 0 } servers)
            throw section.Error("nats", "is missing; write for instance nats = [\"nats://10.0.0.1:4222\", \"nats://10.0.0.2:4222\"]");

        foreach (string server in servers)
        {
            if (!Uri.TryCreate(server, UriKind.Absolute, out Uri? address) || address is not { Scheme: "nats" or "tls", Host.Length: > 0 } || address.UserInfo.Length > 0)
                throw section.Error("nats", $"'{server}' is no address of a NATS server; write for instance nats://10.0.0.1:4222, or tls:// for TLS from the first byte");
        }

        var options = new JetStreamOptions(new ValueList<string>([.. servers]))
        {
            CredentialsFile = ExistingFile(section, "credentials"),
            User = section.String("user"),
            Password = section.String("password"),
            CaFile = ExistingFile(section, "ca-file"),
            CertificateFile = ExistingFile(section, "cert-file"),
            KeyFile = ExistingFile(section, "key-file"),
            Replicas = section.Int("replicas", 1, TopicLimits.MaxReplicas) ?? 1,
        };
        if (options.CredentialsFile is not null && options.User is not null)
            throw section.Error("user", "is there with credentials; one of the two is enough");

        if ((options.User is null) != (options.Password is null))
            throw section.Error("password", "goes with user, and user with password");

        if ((options.CertificateFile is null) != (options.KeyFile is null))
            throw section.Error("key-file", "goes with cert-file, and cert-file with key-file");

        return options;
    }

    private static string? ExistingFile(TomlSection section, string key) => section.String(key) is not { } path ? null
        : File.Exists(path) ? path
        : throw section.Error(key, $"there is no file '{path}' that this user may see");
}
