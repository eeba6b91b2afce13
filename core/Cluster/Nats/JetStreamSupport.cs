using System.Diagnostics.CodeAnalysis;

namespace EdgeStream.Cluster.Nats;

/// <summary>
/// Whether this build of the program can keep partitions in NATS JetStream. Native builds for devices leave that out, and the client's
/// libraries with it, which would be a fifth of the program: nothing may refer to them but behind <see cref="IsSupported"/>.
/// </summary>
public static class JetStreamSupport
{
    private const string Switch = "EdgeStream.JetStream.IsSupported";

    [FeatureSwitchDefinition(Switch)]
    public static bool IsSupported => !AppContext.TryGetSwitch(Switch, out bool isSupported) || isSupported;
}
