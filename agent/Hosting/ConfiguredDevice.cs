using EdgeStream.Devices;

namespace EdgeStream.Agent.Hosting;

/// <summary>A source or a sink as the configuration wants it.</summary>
/// <param name="Settings">Equal to those of another configuration where nothing has changed.</param>
/// <param name="Make">Makes it; it does nothing yet.</param>
internal sealed record ConfiguredDevice(object Settings, Func<ISupervised> Make);
