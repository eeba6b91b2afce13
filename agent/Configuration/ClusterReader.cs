using EdgeStream.Agent.Hosting.DataCenter;

namespace EdgeStream.Agent.Configuration;

/// <summary>Reads <c>[cluster]</c>: what makes a process part of a cluster of SCs and SPUs.</summary>
internal static class ClusterReader
{
    public static ClusterOptions Read(TomlSection section)
    {
        var defaults = new ClusterOptions();
        string name = section.String("name") ?? defaults.Name;
        if (FindNameProblem(name) is { } problem)
            throw section.Error("name", problem);

        IReadOnlyList<string> controllers = section.Has("sc") ? section.Strings("sc") : [];
        foreach (string controller in controllers)
        {
            if (FindEndpointProblem(controller) is { } wrong)
                throw section.Error("sc", wrong);
        }

        var options = new ClusterOptions
        {
            Name = name,
            Id = section.Int("id", 0, int.MaxValue),
            Zone = section.String("zone"),
            Controllers = new ValueList<string>([.. controllers]),
            Advertise = section.String("advertise"),
            Identity = section.String("identity"),
        };
        if (options.Advertise is { } advertise && FindEndpointProblem(advertise) is { } unreachable)
            throw section.Error("advertise", unreachable);

        section.Done();
        return options;
    }

    /// <summary>Why a cluster cannot have the name; null where it can. It is part of names in NATS.</summary>
    public static string? FindNameProblem(string name) =>
        name.Length is > 0 and <= 32 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_')
            ? null
            : $"'{name}' is no name of a cluster; take 1 to 32 letters, digits, '-' and '_'";

    /// <summary>Why an address is none where an SC or an SPU is reached; null where it is one.</summary>
    public static string? FindEndpointProblem(string endpoint) =>
        Uri.TryCreate(endpoint, UriKind.Absolute, out Uri? address) && address is { Scheme: "https", Host.Length: > 0, AbsolutePath: "/", Query.Length: 0 }
            ? null
            : $"'{endpoint}' is no address of a node; write for instance https://10.0.0.1:9443";
}
