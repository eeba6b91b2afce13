namespace EdgeStream.Devices;

/// <summary>Something that brings records in.</summary>
public interface ISource : ISupervised;
