namespace EdgeStream.Cluster.Grpc;

/// <summary>
/// What a service needs that its process may have at times only: an SC while it is the active one, an SPU once it knows its cluster. Asked
/// for at each call, and never the container's to dispose of.
/// </summary>
/// <param name="require">Gives it, or throws a <see cref="ClusterException"/> that says what is waited for.</param>
public sealed class Accessor<T>(Func<T> require)
    where T : class
{
    public Accessor(T always)
        : this(() => always)
    {
    }

    /// <exception cref="ClusterException">It is not there now.</exception>
    public T Value => require();
}
